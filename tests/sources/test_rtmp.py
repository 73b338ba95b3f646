"""RTMP cameras with sound, from FFmpeg's own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from tests.rtmp_server import RtmpServer, delay_video
from tests.sinks.test_audio import record

pytestmark = pytest.mark.slow

NUM_FRAMES = 10


@pytest.mark.parametrize("late_seconds", [0.0, 2.0])
def test_a_stream_with_sound_opens_each_time(tmp_path: Path, late_seconds: float) -> None:
    """If its video comes after more sound than the first analysis takes, a longer analysis waits for it."""
    path = record(tmp_path / "clip.flv", "aac", seconds=4)
    if late_seconds:
        path.write_bytes(delay_video(path.read_bytes(), late_seconds))
    with RtmpServer(path) as server:
        for _ in range(3):
            camera = open_camera(CameraOptions(url=server.url, timeout_seconds=30, reconnect="never"))
            sizes = []
            for info, frame in camera:
                sizes.append((info.width, info.height, frame.video_frame.width))
                if len(sizes) == NUM_FRAMES:
                    break
            camera.stop()
            assert sizes == [(96, 64, 96)] * NUM_FRAMES
        assert server.num_clients == (6 if late_seconds else 3)
