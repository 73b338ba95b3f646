"""Frames sent to a worker process, and letterboxed to the size of the first."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import astuple
from fractions import Fraction

import av
import numpy as np
import pytest

from streamcam.frames import AudioPacket
from streamcam.media.color import color_tags
from streamcam.media.letterbox import Letterboxer
from streamcam.options import OutputOptions
from streamcam.sinks.push.protocol import WorkerConfig, pack_audio, pack_frame, read_items, write_available
from tests.media_helpers import COLORS, color_patches, gradient_frame, patch_codes, planes, to_rgb

from .output_helpers import solid_frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_another_size_is_put_into_the_first_with_borders(pixel_format: str) -> None:
    deep = 4 if pixel_format.endswith("10le") else 1
    fitted = Letterboxer(solid_frame(160, 96, 100 * deep, 90 * deep, 140 * deep, pixel_format=pixel_format))
    for width, height, inside in ((320, 96, (48, 160)), (96, 96, (96, 96)), (80, 48, (96, 160))):
        luma, blue, red = planes(fitted(solid_frame(width, height, 81, 90, 240)))
        assert luma.shape == (96, 160)
        rows, columns = np.nonzero(np.abs(luma - 81.0 * deep) <= deep)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inside
        assert rows.min() + rows.max() + 1 == pytest.approx(96, abs=1)
        assert columns.min() + columns.max() + 1 == pytest.approx(160, abs=1)
        assert len(rows) == inside[0] * inside[1]
        border = luma[luma != luma[48, 80]]
        assert set(border.tolist()) <= {16 * deep}
        assert (blue[24, 40], red[24, 40]) == (90 * deep, 240 * deep)


def test_another_size_keeps_its_colours() -> None:
    first, other = color_patches(1, True), color_patches(6, False)
    first.color_range, first.colorspace, other.color_range, other.colorspace = 2, 1, 1, 6
    wide = av.video.reformatter.VideoReformatter().reformat(other, 512, 128)
    wide.color_range, wide.colorspace = 1, 6
    assert np.abs(to_rgb(patch_codes(Letterboxer(first)(wide)), 1, True) - COLORS).max() <= 4


@pytest.mark.parametrize(("size", "pixel_format"), [((160, 96), "yuv420p"), ((162, 98), "yuv420p10le")])
def test_a_frame_and_its_tags_arrive_unchanged(size: tuple[int, int], pixel_format: str) -> None:
    sent = gradient_frame(*size, 3, pixel_format)
    sent.color_range, sent.color_primaries, sent.color_trc, sent.colorspace = 2, 9, 13, 6
    read, write = os.pipe()

    def feed() -> None:
        views = pack_frame(sent, 1 << 40) + pack_frame(sent, (1 << 40) + 1)[:2]
        while views:
            views = write_available(write, views)
        os.close(write)

    thread = threading.Thread(target=feed)
    thread.start()
    with open(read, "rb") as file:
        (arrived,) = read_items(file)  # the second is cut off
    thread.join()
    assert isinstance(arrived, tuple)
    assert arrived[1] == 1 << 40
    assert arrived[0].format.name == pixel_format
    assert color_tags(arrived[0]) == color_tags(sent)
    for plane, other in zip(planes(arrived[0]), planes(sent), strict=True):
        np.testing.assert_array_equal(plane, other)


def test_the_configuration_of_a_worker_arrives_unchanged() -> None:
    options = OutputOptions(url="out.mp4", segment_seconds=60.5, codec="hevc", crf=20, overwrite=True)
    line = WorkerConfig(options, Fraction(30000, 1001)).to_json_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert WorkerConfig.from_json_line(line) == WorkerConfig(options, Fraction(30000, 1001))


def test_audio_arrives_unchanged_and_a_packet_that_is_cut_off_does_not() -> None:
    header, data = b"stream", bytes(range(256))
    sent = [AudioPacket(header, b"", 0, 0), AudioPacket(header, data, 1 << 40, 1920)]
    packed = b"".join(view.tobytes() for item in sent for view in pack_audio(item))
    for end, count in ((len(packed), 2), (len(packed) - 1, 1), (len(packed) - 300, 1), (5, 0)):
        arrived = list(read_items(io.BufferedReader(io.BytesIO(packed[:end]))))  # type: ignore[arg-type]
        assert len(arrived) == count
        for got, original in zip(arrived, sent, strict=False):
            assert isinstance(got, AudioPacket)
            assert astuple(got) == astuple(original)
