from __future__ import annotations

import pytest
from av.video.frame import VideoFrame

from tests.media import planes


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor stands in for a card: the same tensors, graphs and pictures, in its own memory."""
    monkeypatch.setenv("STREAMCAM_CARD", "cpu")


def as_nv12(picture: VideoFrame) -> VideoFrame:
    """The same samples with Cb and Cr in turn."""
    luma, blue, red = planes(picture)
    frame = VideoFrame(picture.width, picture.height, "nv12")
    there, both = planes(frame)
    there[:] = luma
    both = _lines(frame)
    both[:, 0 : picture.width : 2], both[:, 1 : picture.width : 2] = blue, red
    return frame


def as_yuv420p(picture: VideoFrame) -> VideoFrame:
    """The other way."""
    frame = VideoFrame(picture.width, picture.height, "yuv420p")
    luma, blue, red = planes(frame)
    luma[:] = planes(picture)[0]
    both = _lines(picture)
    blue[:], red[:] = both[:, 0 : picture.width : 2], both[:, 1 : picture.width : 2]
    return frame


def _lines(frame: VideoFrame):
    import numpy as np

    plane = frame.planes[1]
    return np.frombuffer(plane, np.uint8).reshape(frame.height // 2, plane.line_size)
