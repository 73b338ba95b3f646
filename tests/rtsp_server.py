"""A real RTSP server in a process of its own, which can be killed, frozen and started again; and one that refuses.

with RtspServer() as server:
    server.start((320, 240), rate=25)
    ...  # server.url
    server.freeze()
    server.thaw()
    server.kill()
    server.start((160, 96), rate=10)  # on the same port
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class RtspServer:
    """Serve FFmpeg's moving test pattern as H.264 in real time, a key frame each second.

    Args:
        port: 0 takes a free one, and keeps it.
        path: of the URL.

    Attributes:
        url: where it is, running or not.
    """

    def __init__(self, port: int = 0, path: str = "/cam") -> None:
        self._port = port or free_port()
        self._path = path
        self._process: subprocess.Popen[str] | None = None
        self.url = f"rtsp://127.0.0.1:{self._port}{path}"

    def start(self, size: tuple[int, int] = (320, 240), rate: int = 25) -> None:
        """Starts it; returns when it can be connected to.

        Args:
            size: ``(width, height)``, even.
            rate: frames a second, 10 or more.
        """
        assert self._process is None, "it runs already"
        arguments = [sys.executable, __file__, self.url, *map(str, (*size, rate))]
        root = str(Path(__file__).parents[1])
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self.kill()
            raise RuntimeError(f"no RTSP server on {self.url}")

    def kill(self) -> None:
        """SIGKILL; no farewell is sent."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def unfreeze(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


@contextlib.contextmanager
def refusing(status: str, extra: str = "") -> Iterator[int]:
    """An RTSP server that answers every request with one status.

    Args:
        status: such as ``401 Unauthorized``.
        extra: a further line of the answer's head.

    Yields:
        Its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_refuse, args=(listener, status, extra), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _refuse(listener: socket.socket, status: str, extra: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as requests:
                number = b"0"
                for line in requests:
                    if line.lower().startswith(b"cseq:"):
                        number = line.partition(b":")[2].strip()
                    elif not line.strip():
                        head = f"RTSP/1.0 {status}\r\nCSeq: {number.decode()}\r\n{extra and extra + chr(13) + chr(10)}"
                        connection.sendall(f"{head}\r\n".encode())


def _serve(url: str, width: int, height: int, rate: int) -> None:
    import av
    import rtsp.source

    everywhere = rtsp.source._RTSPServer
    rtsp.source._RTSPServer = lambda host, port, sdp: everywhere("127.0.0.1", port, sdp)
    with av.open(f"testsrc2=size={width}x{height}:rate={rate}:duration=2", format="lavfi") as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    source = rtsp.source.Source(url, fps=rate)
    for video_frame in frames:
        source.put(video_frame)
    if source.wait_ready() and source.wait_encoding_started():
        print("ready", flush=True)
        sys.stdin.read()  # until its parent is gone
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1], *map(int, sys.argv[2:]))
