"""Videos encoded in segments: one stream, whole, the same for any number of encoders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from streamcam.errors import SinkError
from streamcam.frames import ColorSpec
from streamcam.options import SinkOptions
from streamcam.sinks import encoder_count, open_sink, segment_encoder
from streamcam.sinks.encoder_count import choose_encoders, max_waiting_bytes, segment_frames
from streamcam.sinks.encoder_settings import EncoderSettings
from streamcam.sinks.segments import Segment, buffer_bytes, join_segments
from streamcam.sinks.video import VideoSink
from tests.media_helpers import gradient_frame, packets_of, planes, transcode, write_clip

from .sink_helpers import SUFFIXES_AND_CODECS, open_test_sink, source_info

TIMEOUT = 60
FPS = Fraction(25)
CUTS = (0, 1, 3, 30, 37)
"""Chunks of 1, 2, 27 and 7 frames, and one that is longer than a segment."""
NUM_FRAMES = 95
SEGMENT_STARTS = [*CUTS, CUTS[-1] + 50]
VFR = [int(pts) for pts in np.cumsum(np.random.default_rng(3).integers(1, 4, NUM_FRAMES)) - 1]


def write_chunks(path: Path, encoders: int, pts: Sequence[int] = VFR, size: tuple[int, int] = (96, 64), **options: Any):
    """Writes frames that begin a chunk at `CUTS`; returns the sink, closed."""
    info = options.pop("info", None) or source_info(average_fps=FPS, width=size[0], height=size[1])
    with open_test_sink(path, info, encoders=encoders, **options) as sink:
        for index, one in enumerate(pts):
            frame = gradient_frame(*size, index, info.pixel_format)
            sink.write(frame, one, starts_chunk=index in CUTS)
    return sink


def video_packets(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def decode(packets: Sequence[Any]) -> list[tuple[int, bytes]]:
    """Times and planes of the frames, decoded by a fresh decoder."""
    described = packets[0].stream.codec_context
    context = av.CodecContext.create(described.codec.name, "r")
    context.extradata, context.width, context.height = described.extradata, described.width, described.height
    frames = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    return [(frame.pts, b"".join(plane.tobytes() for plane in planes(frame))) for frame in frames]


@pytest.mark.parametrize(("suffix", "codec"), [one for one in SUFFIXES_AND_CODECS if one[0] != ".mov"])
def test_segments_are_one_stream(tmp_path: Path, suffix: str, codec: Any) -> None:
    one, two, four = (tmp_path / f"{encoders}{suffix}" for encoders in (1, 2, 4))
    for path, encoders in ((one, 1), (two, 2), (four, 4)):
        write_chunks(path, encoders, codec=codec)
    packets = video_packets(two)
    times = sorted(packet.pts for packet in packets)
    assert times == sorted(packet.pts for packet in video_packets(one))
    if suffix == ".mp4":
        stamps = [packet.dts for packet in packets]
        assert all(before < after for before, after in pairwise(stamps))
        assert stamps == [packet.dts for packet in video_packets(one)]
        assert all(packet.dts <= packet.pts for packet in packets)
        with av.open(str(one)) as whole, av.open(str(two)) as joined:
            for name in ("duration", "start_time", "time_base"):
                assert getattr(joined.streams.video[0], name) == getattr(whole.streams.video[0], name)
        assert two.read_bytes() == four.read_bytes()
    assert [bytes(packet) for packet in packets] == [bytes(packet) for packet in video_packets(four)]
    starts = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    assert set(SEGMENT_STARTS) <= set(starts)
    frames = decode(packets)
    assert [pts for pts, _ in frames] == times
    for first, last in pairwise([*SEGMENT_STARTS, NUM_FRAMES]):
        assert decode(packets[first:last]) == frames[first:last]  # no frame refers to another segment


@pytest.mark.parametrize("count", [1, 2, 3, 51])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_short_videos_have_the_times_of_one_encoder(tmp_path: Path, codec: Any, count: int) -> None:
    for encoders in (1, 2):
        with open_test_sink(
            tmp_path / f"{encoders}.mp4", source_info(average_fps=FPS), encoders=encoders, codec=codec
        ) as sink:
            for index in range(count):
                sink.write(gradient_frame(96, 64, index), 3 + 2 * index, starts_chunk=index in (0, 1))
    one, two = (video_packets(tmp_path / f"{encoders}.mp4") for encoders in (1, 2))
    assert sorted((p.pts, p.time_base) for p in one) == sorted((p.pts, p.time_base) for p in two)
    assert all(before.dts < after.dts for before, after in pairwise(two))
    assert [p.dts for p in one] == [p.dts for p in two] or count < 3


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format", "size"),
    [
        (".mkv", "ffv1", "yuv420p10le", (97, 65)),
        (".webm", "vp9", "yuv420p", (97, 65)),
        (".mp4", "hevc", "yuv420p10le", (96, 64)),
        (".mp4", "av1", "yuv420p10le", (96, 64)),
        (".mp4", "h264", "yuv420p10le", (96, 64)),
    ],
)
def test_odd_sizes_and_10_bits(
    tmp_path: Path, suffix: str, codec: Any, pixel_format: str, size: tuple[int, int]
) -> None:
    hdr = codec in ("hevc", "av1")
    color = ColorSpec(1, 9, 16, 9) if hdr else ColorSpec()
    info = source_info(pixel_format=pixel_format, width=size[0], height=size[1], average_fps=FPS, color=color)
    for encoders in (1, 3):
        write_chunks(tmp_path / f"{encoders}{suffix}", encoders, size=size, info=info, codec=codec)
    found = []
    for encoders in (1, 3):
        with av.open(str(tmp_path / f"{encoders}{suffix}")) as container:
            context = container.streams.video[0].codec_context
            shape = context.pix_fmt, context.width, context.height, context.color_trc, context.color_primaries
            found.append((shape, [frame.pts for frame in container.decode(video=0)]))
    assert found[0] == found[1]
    assert len(found[0][1]) == NUM_FRAMES
    assert found[0][0][0] == ("yuv420p" if codec == "h264" else pixel_format)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_copied_streams_are_unchanged(tmp_path: Path, suffix: str) -> None:
    source = write_clip(
        tmp_path / "in.mkv", [gradient_frame(96, 64, n) for n in range(130)], audio=True, subtitles=True
    )
    for encoders in (1, 3):
        transcode(source, tmp_path / f"{encoders}{suffix}", encoders=encoders)
    kinds = ("audio", "subtitle") if suffix == ".mkv" else ("audio",)
    for kind in kinds:
        one, three = (packets_of(tmp_path / f"{encoders}{suffix}", kind) for encoders in (1, 3))
        assert one == three
        assert len(one) >= 2


def test_one_encoder_writes_the_same_bytes_as_without_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_count, "cpu_count", lambda: 2)
    for name, options in (("default", {}), ("one", {"encoders": 1})):
        with open_sink(SinkOptions(path=tmp_path / f"{name}.mp4", **options), source_info(average_fps=FPS)) as sink:
            for index in range(60):
                sink.write(gradient_frame(96, 64, index), index, starts_chunk=index % 25 == 0)
    assert (tmp_path / "default.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()
    assert [n for n, p in enumerate(video_packets(tmp_path / "one.mp4")) if p.is_keyframe] == [0, 50]


def test_auto_follows_cores_and_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sink = open_test_sink(tmp_path / "a.mp4")
    assert isinstance(sink, VideoSink)
    encoder = sink._encoder

    def auto(cores: int, width: int = 1920, height: int = 1080, *, free_mib: int = 1 << 20, **info: Any) -> int:
        monkeypatch.setattr(encoder_count, "cpu_count", lambda: cores)
        monkeypatch.setattr(encoder_count, "available_memory_bytes", lambda: free_mib << 20)
        return choose_encoders("auto", encoder, source_info(width=width, height=height, **info), 50)[0]

    assert [auto(cores) for cores in (1, 2, 4, 6, 8, 16, 64)] == [1, 1, 1, 2, 3, 6, 13]
    assert auto(64, 3840, 2160) < auto(64)
    assert auto(64, 7680, 4320) == 1
    assert auto(64, live=True) == auto(64, is_image=True) == 1
    # Six encoders and their frames take 1.55 GiB for 1080p, half of it for 720p; others need as much again.
    assert [auto(16, free_mib=mib) for mib in (0, 1000, 1500, 2000, 4000)] == [1, 1, 2, 3, 6]
    assert auto(16, 1280, 720, free_mib=1500) == 6
    # The frames of the waiting segments fit into the memory.
    for size in ((1920, 1080), (3840, 2160)):
        frame_bytes = source_info(width=size[0], height=size[1]).frame_bytes
        waiting = max_waiting_bytes(auto(64, *size), 50, frame_bytes)
        assert waiting == auto(64, *size) * 25 * frame_bytes <= encoder_count.MAX_WAITING_BYTES
    assert segment_frames(50) == 50
    assert segment_frames(10) == 50
    assert segment_frames(240) == 240


def test_all_encoders_work_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(encoder_count, "cpu_count", lambda: 16)
    together = threading.Barrier(6)
    make_converter = EncoderSettings.make_converter

    def make_waiting_converter(self: EncoderSettings) -> Callable[[VideoFrame], VideoFrame]:
        convert, met = make_converter(self), False

        def wait_and_convert(frame: VideoFrame) -> VideoFrame:
            nonlocal met
            if not met:
                together.wait(TIMEOUT)  # breaks if fewer encoders have a frame at this time
                met = True
            return convert(frame)

        return wait_and_convert

    monkeypatch.setattr(EncoderSettings, "make_converter", make_waiting_converter)
    with open_test_sink(tmp_path / "o.mp4", source_info(average_fps=FPS), encoders="auto") as sink:
        for index in range(70):
            sink.write(gradient_frame(96, 64, index), index, starts_chunk=index % 10 == 0)
    assert not together.broken
    assert len(video_packets(tmp_path / "o.mp4")) == 70


def test_waiting_frames_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame_bytes = buffer_bytes(gradient_frame(96, 64))
    monkeypatch.setattr(encoder_count, "MAX_WAITING_BYTES", 5 * frame_bytes)
    most = 0
    wait = segment_encoder.SegmentEncoder._next_frame

    def observe(self: Any, part: Any) -> VideoFrame | None:
        nonlocal most
        most = max(most, self._waiting_bytes)
        return wait(self, part)

    monkeypatch.setattr(segment_encoder.SegmentEncoder, "_next_frame", observe)
    write_chunks(tmp_path / "o.mp4", 3)
    assert 0 < most <= 5 * frame_bytes
    assert len(video_packets(tmp_path / "o.mp4")) == NUM_FRAMES


class FailingEncoder:
    """An encoder whose third frame fails."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._context, self._count = context, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def encode(self, frame: VideoFrame | None = None) -> list[Any]:
        self._count += 1
        if self._count == 3:
            raise av.error.ExternalError(542398533, "the encoder broke")
        return self._context.encode(frame)


def test_a_failed_segment_is_one_line_and_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_encoder, made = EncoderSettings.make_encoder, []

    def make_failing(self: EncoderSettings, flags: int) -> Any:
        made.append(flags)
        context = make_encoder(self, flags)
        return FailingEncoder(context) if len(made) == 3 else context

    monkeypatch.setattr(EncoderSettings, "make_encoder", make_failing)
    threads = threading.active_count()
    path = tmp_path / "o.mp4"
    with pytest.raises(SinkError) as failure, open_test_sink(path, source_info(average_fps=FPS), encoders=3) as sink:
        for index in range(1000):
            sink.write(gradient_frame(96, 64, index), index, starts_chunk=index % 25 == 0)
    message = str(failure.value)
    assert "the encoder broke" in message
    assert "its first 75 frames are kept" in message or "its first 50 frames are kept" in message
    assert len(message.splitlines()) == 1
    assert len(decode(video_packets(path))) == sink.num_frames
    assert threading.active_count() == threads


def test_a_converter_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: EncoderSettings) -> Any:
        raise ValueError("no converter")

    monkeypatch.setattr(EncoderSettings, "make_converter", fail)
    failures: list[Exception] = []

    def write() -> None:
        try:
            write_chunks(tmp_path / "o.mp4", 2)
        except SinkError as error:
            failures.append(error)

    thread = threading.Thread(target=write, daemon=True)  # it would wait forever
    thread.start()
    thread.join(TIMEOUT)
    assert len(failures) == 1
    assert "no converter" in str(failures[0])


def stored_chunks(path: Path, encoders: int = 1) -> list[Segment]:
    chunks: list[Segment] = []
    with open_test_sink(path, source_info(average_fps=FPS), encoders=encoders) as sink:
        assert isinstance(sink, VideoSink)
        sink.store_chunks(chunks.append)
        for index, pts in enumerate(VFR):
            sink.write(gradient_frame(96, 64, index), pts, starts_chunk=index in CUTS)
    return chunks


@pytest.mark.parametrize("num_replayed", [0, 1, 3, len(CUTS)])
def test_stored_chunks_replace_their_frames(tmp_path: Path, num_replayed: int) -> None:
    chunks = stored_chunks(tmp_path / "whole.mp4")
    edges = [*CUTS, NUM_FRAMES]
    assert [chunk.num_frames for chunk in chunks] == [after - before for before, after in pairwise(edges)]
    assert [pts for chunk in chunks for pts in chunk.pts] == VFR
    kept: list[Segment] = []
    with open_test_sink(tmp_path / "again.mp4", source_info(average_fps=FPS)) as sink:
        assert isinstance(sink, VideoSink)
        sink.store_chunks(kept.append)
        for chunk, (first, last) in zip(chunks[:num_replayed], pairwise(edges), strict=False):
            sink.write_chunk(chunk, VFR[first:last])
        for index in range(edges[num_replayed], NUM_FRAMES):
            sink.write(gradient_frame(96, 64, index), VFR[index], starts_chunk=index in CUTS)
        assert sink.num_frames == NUM_FRAMES
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert kept == chunks[num_replayed:]
    assert join_segments(chunks).num_frames == NUM_FRAMES


def test_the_number_of_encoders_does_not_change_stored_chunks(tmp_path: Path) -> None:
    assert stored_chunks(tmp_path / "a.mp4") == stored_chunks(tmp_path / "b.mp4", encoders=3)


@pytest.mark.parametrize(
    ("options", "shift", "expected"),
    [({"crf": 20}, 1, "other times"), ({"codec": "hevc"}, 0, "other settings"), ({}, 0, "")],
)
def test_chunks_of_another_run_are_refused(tmp_path: Path, options: dict[str, Any], shift: int, expected: str) -> None:
    chunk = stored_chunks(tmp_path / "whole.mp4")[3]
    pts = [one + shift for one in chunk.pts]

    def write() -> Iterator[None]:
        with open_test_sink(tmp_path / "o.mp4", source_info(average_fps=FPS), **options) as sink:
            assert isinstance(sink, VideoSink)
            sink.store_chunks(lambda _: None)
            sink.write_chunk(chunk, pts)
            yield

    if not expected:
        assert len(list(write())) == 1
        return
    with pytest.raises(SinkError, match=expected):
        list(write())
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_outputs_that_are_no_video_have_one_encoder(tmp_path: Path, suffix: str) -> None:
    sink = open_test_sink(tmp_path / f"o{suffix}", source_info(), encoders=4)
    assert sink.notes == [f"--encoders 4: one encoder writes {suffix}"]
    assert open_test_sink(tmp_path / f"p{suffix}", source_info(), encoders="auto").notes == []
