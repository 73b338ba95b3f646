"""A camera that sends JPEGs over http, in this process."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import av

from .media_helpers import gradient_frame

_HEAD = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


@functools.cache
def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG image of this size."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = gradient_frame(width, height).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode()))


@contextlib.contextmanager
def mjpeg_camera(sizes: Sequence[tuple[int, int] | None], rate: float = 0) -> Iterator[str]:
    """Send each client one JPEG image of each size, and hang up.

    Args:
        sizes: of the images, ``(width, height)`` each; None for one that is broken.
        rate: images a second; 0 sends them at once.

    Yields:
        Its URL.
    """

    class Camera(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with contextlib.suppress(OSError):
                for data in _pace(sizes, rate):
                    self.wfile.write(data)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/live.mjpg"
        finally:
            server.shutdown()
            thread.join()


def _pace(sizes: Iterable[tuple[int, int] | None], rate: float) -> Iterator[bytes]:
    begin = time.monotonic()
    for index, size in enumerate(sizes):
        if rate:
            time.sleep(max(0.0, begin + index / rate - time.monotonic()))
        data = jpeg(*size) if size else b"no image"
        yield _HEAD % (len(data), data)
    yield b"--frame\r\n"  # a reader accepts an image once it sees the next boundary
