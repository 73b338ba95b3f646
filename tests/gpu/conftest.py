from __future__ import annotations

import pytest
from av.video.frame import VideoFrame

from tests.media_helpers import planes


@pytest.fixture
def emulated_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor stands in for a card: the same tensors, graphs and pictures, in its own memory."""
    monkeypatch.setenv("STREAMCAM_TEST_EMULATE_GPU", "cpu")


def as_nv12(video_frame: VideoFrame) -> VideoFrame:
    """The same samples with Cb and Cr in turn."""
    luma, blue, red = planes(video_frame)
    frame = VideoFrame(video_frame.width, video_frame.height, "nv12")
    there, both = planes(frame)
    there[:] = luma
    both = _chroma_lines(frame)
    both[:, 0 : video_frame.width : 2], both[:, 1 : video_frame.width : 2] = blue, red
    return frame


def as_yuv420p(video_frame: VideoFrame) -> VideoFrame:
    """The other way."""
    frame = VideoFrame(video_frame.width, video_frame.height, "yuv420p")
    luma, blue, red = planes(frame)
    luma[:] = planes(video_frame)[0]
    both = _chroma_lines(video_frame)
    blue[:], red[:] = both[:, 0 : video_frame.width : 2], both[:, 1 : video_frame.width : 2]
    return frame


def _chroma_lines(frame: VideoFrame):
    import numpy as np

    plane = frame.planes[1]
    return np.frombuffer(plane, np.uint8).reshape(frame.height // 2, plane.line_size)
