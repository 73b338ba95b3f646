"""A real RTMP server, FFmpeg's own, in a process of its own: it plays an FLV file to one client after the other.

with RtmpServer(flv) as server:
    ...  # server.url
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
from av.packet import Packet

from tests.rtsp_server import free_port

_ROOT = Path(__file__).parents[1]
_CONNECT_SECONDS = 60.0
_HEADER_BYTES = 13
_VIDEO_TAG, _SCRIPT_TAG = 9, 18
"""The script announces the streams; clients that join later often miss it."""


def delay_video(flv: bytes, seconds: float) -> bytes:
    """Return an FLV whose video is announced and sent only after so much audio; times stay as they are."""
    early, late = [], []
    position = _HEADER_BYTES
    while position < len(flv):
        size = 11 + int.from_bytes(flv[position + 1 : position + 4], "big") + 4
        tag = flv[position : position + size]
        milliseconds = int.from_bytes(tag[7:8] + tag[4:7], "big")
        is_late = tag[0] == _VIDEO_TAG or milliseconds > 1000 * seconds
        (late if is_late else early).append(tag)
        position += size
    return flv[:_HEADER_BYTES] + b"".join(tag for tag in early + late if tag[0] != _SCRIPT_TAG)


class RtmpServer:
    """Serve a file to each client in turn, as fast as it reads.

    FFmpeg listens for one client at a time: a relay in front keeps the port open, so that no client is refused.

    Args:
        path: of the FLV.

    Attributes:
        url: where it is.
        num_clients: clients so far.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._port = path, free_port()
        self.num_clients = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtmp://127.0.0.1:{self._listener.getsockname()[1]}/app/cam"
        command = [sys.executable, "-m", "tests.rtmp_server", f"rtmp://127.0.0.1:{self._port}/app/cam", self._path]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_CONNECT_SECONDS)

    def _relay(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.num_clients += 1
            with client, self._connect() as server:
                back = threading.Thread(target=_pump, args=(client, server), daemon=True)
                back.start()
                _pump(server, client)
                back.join()
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.write("\n")

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _CONNECT_SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on bytes until one side ends; then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def main(url: str, path: Path) -> None:
    """Play the file to each client."""
    data = path.read_bytes()
    while True:
        with (
            contextlib.suppress(av.error.FFmpegError, OSError),
            # The protocol takes an FLV apart itself: it gets the file's bytes. PyAV passes the protocol's options to
            # inputs only, the muxer "tee" to outputs too.
            av.open(f"[f=data:listen=1:flush_packets=1]{url}", "w", format="tee") as output,
        ):
            try:
                stream = output.add_data_stream("bin_data")
                for start in range(0, len(data), 4096):
                    packet = Packet(data[start : start + 4096])
                    packet.stream, packet.pts, packet.dts = stream, start, start
                    output.mux_one(packet)
            finally:
                sys.stdin.readline()  # until the client is gone: closing earlier could lose what it has not read


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
