"""HTTP clients of the page, for tests."""

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
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


@contextlib.contextmanager
def open_stream(url: str, *, small: bool = False) -> Iterator[socket.socket]:
    """A viewer of cam1 that has sent its request and read nothing; ``small``: with a small receive buffer."""
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
            # A thread that still reads from it would keep it open.
            with contextlib.suppress(OSError):
                viewer.shutdown(socket.SHUT_RDWR)


def read_jpegs(viewer: socket.socket) -> Iterator[bytes]:
    """The frames of a stream."""
    response = http.client.HTTPResponse(viewer)
    response.begin()
    assert response.status == 200
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert response.readline() == b"--frame\r\n"
    while True:
        if not (kind := response.readline()):
            return
        assert kind == b"Content-Type: image/jpeg\r\n"
        name, length = response.readline().split(b":")
        assert name == b"Content-Length"
        assert response.readline() == b"\r\n"
        yield response.read(int(length))
        # The boundary comes with the frame: browsers wait for it.
        assert response.readline() == b"\r\n"
        assert response.readline() == b"--frame\r\n"
