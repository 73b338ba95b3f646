"""H.264 frames that are too large for players are scaled down, unless the codec was asked for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import VideoFrame

from streamcam.frames import SourceInfo
from streamcam.geometry import Size
from streamcam.options import OutputOptions, SinkOptions
from streamcam.sinks import open_sink
from streamcam.sinks.frame_size import playable_size
from streamcam.sinks.push.destinations import resolve_destination
from streamcam.sinks.push.encoder import StreamEncoder
from streamcam.sinks.push.protocol import WorkerConfig

from .output_helpers import solid_frame

_4K_BESIDE = 7680, 2160


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1920, 1080)),
        ((3840, 2160), (3840, 2160)),
        ((4096, 2304), (4096, 2304)),
        (_4K_BESIDE, (4096, 1152)),
        ((7680, 4320), (4096, 2304)),
        ((3840, 4320), (2880, 3240)),
        ((4098, 100), (4096, 100)),
        ((100, 8000), (48, 3840)),
    ],
)
def test_size_keeps_level_and_shape(size: Size, expected: Size) -> None:
    smaller, notes = playable_size("h264", None, size)
    assert smaller == expected
    assert -(-smaller[0] // 16) * -(-smaller[1] // 16) <= 36_864
    assert max(smaller) <= 4096
    assert len(notes) == (smaller != size)
    assert playable_size("h264", "h264", size) == playable_size("hevc", None, size) == (size, [])


@pytest.mark.parametrize(("options", "size"), [({}, (4096, 1152)), ({"codec": "h264"}, _4K_BESIDE)])
def test_file_of_4k_side_by_side(tmp_path: Path, options: dict[str, Any], size: Size) -> None:
    frame = solid_frame(*_4K_BESIDE, 81, 90, 240)
    info = SourceInfo("clip", *_4K_BESIDE, "yuv420p", Fraction(1, 25), average_fps=Fraction(25))
    sink = open_sink(SinkOptions(path=tmp_path / "o.mp4", preset="ultrafast", **options), info)
    with sink:
        sink.write(frame, 0)
    assert [note for note in sink.notes if "7680x2160" in note] == sink.notes
    assert len(sink.notes) == (size != _4K_BESIDE)
    check(tmp_path / "o.mp4", size)


def test_stream_of_4k_side_by_side(tmp_path: Path) -> None:
    options, warnings = OutputOptions(url=str(tmp_path / "live.m3u8"), preset="ultrafast"), list[str]()
    encoder = StreamEncoder(WorkerConfig(options, Fraction(25)), resolve_destination(options), warnings.append)
    encoder.write(solid_frame(*_4K_BESIDE, 81, 90, 240), 0)
    encoder.close()
    assert len(warnings) == 1
    assert "7680x2160 are scaled to 4096x1152" in warnings[0]
    check(tmp_path / "live-00000.ts", (4096, 1152))


def check(path: Path, size: Size) -> None:
    with av.open(str(path)) as container:
        frame: VideoFrame = next(container.decode(video=0))
        assert (frame.width, frame.height) == size
        assert frame.to_ndarray(format="rgb24")[::50, ::50].std(axis=(0, 1)).max() < 2
