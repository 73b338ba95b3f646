"""What visitors of the page do in tests."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


@contextlib.contextmanager
def open_stream(url: str, *, small: bool = False) -> Iterator[socket.socket]:
    """A watcher of cam1 that has asked, and read nothing yet; ``small``: it has room for little."""
    address = urlsplit(url)
    with socket.socket() as viewer:
        if small:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.settimeout(20)
        viewer.connect((address.hostname, address.port))
        viewer.sendall(b"GET /cameras/cam1/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            yield viewer
        finally:
            # Whatever still reads from it would keep it open.
            with contextlib.suppress(OSError):
                viewer.shutdown(socket.SHUT_RDWR)


def read_jpegs(viewer: socket.socket) -> Iterator[bytes]:
    """The pictures of a stream."""
    answer = http.client.HTTPResponse(viewer)
    answer.begin()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert answer.readline() == b"--frame\r\n"
    while True:
        if not (kind := answer.readline()):
            return
        assert kind == b"Content-Type: image/jpeg\r\n"
        name, length = answer.readline().split(b":")
        assert name == b"Content-Length"
        assert answer.readline() == b"\r\n"
        yield answer.read(int(length))
        # The boundary comes with the picture: a browser shows it when it has seen that.
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"--frame\r\n"
