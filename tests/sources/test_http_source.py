"""Files over http: read whole, refused, and silent."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from streamcam.errors import SourceError
from streamcam.options import SourceOptions
from streamcam.sources import open_source


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_file_over_http(clip: Path) -> None:
    with serve_folder(clip.parent) as base, open_source(SourceOptions(url=f"{base}/{clip.name}?key=s3cret")) as source:
        assert source.info.name == f"{base}/{clip.name}?***"
        assert sum(1 for _ in source) == 50


def test_missing_on_the_server(clip: Path) -> None:
    with serve_folder(clip.parent) as base, pytest.raises(SourceError, match=r"was refused by its server: .*404"):
        open_source(SourceOptions(url=f"{base}/missing.mp4"))


def test_silent_server(clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4"
        with pytest.raises(SourceError, match=r"did not answer within 0\.3 s"):
            open_source(SourceOptions(url=url, timeout_seconds=0.3))
