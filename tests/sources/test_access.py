"""A source opens what the user names, and nothing else."""

from __future__ import annotations

import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamcam.errors import SourceError
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from tests.media_helpers import gradient_frame, write_clip

from .camera_reader import error_of
from .http_folder import serve_folder
from .reading import read

HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the user did not name."""
    folder = tmp_path_factory.mktemp("private")
    return write_clip(folder / "private.ts", [gradient_frame(96, 64, i) for i in range(5)])


def playlist_of(kind: str, folder: Path, target: str) -> Path:
    if kind == "hls":
        path = folder / "list.m3u8"
        path.write_text(f"{HEAD}#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n")
    else:
        path = folder / "list.mp4"
        path.write_text(f"ffconcat version 1.0\nfile '{target}'\n")
    return path


@pytest.mark.parametrize("kind", ["hls", "ffconcat"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_local_playlist_opens_other_files_only_if_allowed(
    tmp_path: Path, private: Path, kind: str, relative: bool
) -> None:
    beside = Path(shutil.copy(private, tmp_path))
    path = playlist_of(kind, tmp_path, beside.name if relative else str(private))
    with pytest.raises(SourceError, match=r"is an (HLS|ffconcat) \w+, .*use --allow-playlist-files") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    _, frames = read(path, allow_playlist_files=True)
    assert len(frames) == 5


@pytest.mark.parametrize("kind", ["hls", "ffconcat"])
def test_a_camera_that_is_a_local_playlist_is_refused_too(tmp_path: Path, private: Path, kind: str) -> None:
    path = playlist_of(kind, tmp_path, str(private))
    assert "use --allow-playlist-files" in error_of(str(path))
    frames = list(open_camera(CameraOptions(url=str(path), realtime=False, allow_playlist_files=True)))
    assert len(frames) == 5


def test_a_local_playlist_reaches_no_host_unless_allowed(tmp_path: Path, private: Path) -> None:
    with serve_folder(private.parent) as base:
        path = playlist_of("hls", tmp_path, f"{base}/{private.name}")
        with pytest.raises(SourceError, match="--allow-playlist-files"):
            read(path)
        assert len(read(path, allow_playlist_files=True)[1]) == 5


@pytest.mark.parametrize("scheme", ["", "file://", "file:"])
def test_a_network_playlist_opens_no_local_file(tmp_path: Path, private: Path, scheme: str) -> None:
    for kind in ("hls", "ffconcat"):
        name = playlist_of(kind, tmp_path, f"{scheme}{private}").name
        with serve_folder(tmp_path) as base, pytest.raises(SourceError):
            read(f"{base}/{name}", allow_playlist_files=True, timeout_seconds=2)


def test_a_redirect_to_a_local_file_is_refused(private: Path) -> None:
    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"file://{private}")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(SourceError):
                read(f"http://127.0.0.1:{server.server_address[1]}/a.ts", timeout_seconds=2)
        finally:
            server.shutdown()
            thread.join()


def test_a_network_playlist_opens_its_segments(tmp_path: Path, private: Path) -> None:
    shutil.copy(private, tmp_path)
    name = playlist_of("hls", tmp_path, private.name).name
    with serve_folder(tmp_path) as base:
        assert len(read(f"{base}/{name}")[1]) == 5


def test_a_name_like_a_pattern_is_one_file(tmp_path: Path) -> None:
    for name, level in (("a1.tga", 200), ("a2.tga", 200), ("a%d.tga", 40)):
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(tmp_path / name)
    source, (frame,) = read(tmp_path / "a%d.tga")
    assert frame.rgb_frame is not None
    assert frame.rgb_frame.to_ndarray()[8, 8].tolist() == [40, 40, 40]
    assert source.info.is_image
