"""Sinks for generated frames, and the codecs of each container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from streamcam.frames import SourceInfo
from streamcam.options import SinkOptions
from streamcam.sinks import Sink, open_sink

TIME_BASE = Fraction(1, 1000)
CODECS = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".webm": ("vp9", "av1"),
}
SUFFIXES_AND_CODECS = [(suffix, codec) for suffix, codecs in CODECS.items() for codec in codecs]


def source_info(**changes: Any) -> SourceInfo:
    given = {"name": "made", "width": 96, "height": 64, "pixel_format": "yuv420p", "time_base": Fraction(1, 25)}
    return SourceInfo(**(given | changes))


def open_test_sink(path: Path, source: SourceInfo | None = None, **options: Any) -> Sink:
    """Opens a sink with one encoder, so that files are the same on every machine."""
    return open_sink(SinkOptions(path=path, **({"encoders": 1} | options)), source or source_info())
