"""Damage in one stream costs that stream, never the frames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import av.error
import pytest
from av.packet import Packet

from streamcam.errors import SourceError
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from streamcam.sources.files import passthrough
from streamcam.sources.files.describe import skipped_notes
from tests.media_helpers import frame_times, gradient_frame, packets_of, transcode, write_clip

from .reading import read

DATA = Path(__file__).parents[1] / "fuzz" / "data"
NUM_FRAMES = 100
AUDIO, VIDEO = 8, 9


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of FLV with sound."""
    frames = [gradient_frame(96, 64, i) for i in range(NUM_FRAMES)]
    return write_clip(tmp_path_factory.mktemp("flv") / "a.flv", frames, audio=True)


def tags(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, milliseconds and bytes of each tag of an FLV file."""
    position = 13
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 4])
        milliseconds = int.from_bytes(data[position + 4 : position + 7])
        yield data[position], milliseconds, data[position : position + 15 + size]
        position += 15 + size


def with_late_stream(path: Path, target: Path) -> Path:
    """A copy in which a second sound, in another codec, begins after two seconds."""
    data, parts, added = path.read_bytes(), [], False
    for _, milliseconds, tag in tags(data):
        if milliseconds > 2000 and not added:
            # Uncompressed, 44.1 kHz, 16 bit, stereo.
            payload = b"\x3f" + bytes(400)
            head = bytes([AUDIO]) + len(payload).to_bytes(3) + milliseconds.to_bytes(3) + bytes(4)
            parts += [head + payload + (len(payload) + 11).to_bytes(4)] * 3
            added = True
        parts.append(tag)
    target.write_bytes(data[:13] + b"".join(parts))
    return target


def test_a_stream_that_begins_late_is_dropped_with_a_note(flash: Path, tmp_path: Path) -> None:
    late = with_late_stream(flash, tmp_path / "late.flv")
    source, sink = transcode(late, tmp_path / "out.mp4")
    assert len(frame_times(tmp_path / "out.mp4")) == sink.num_frames == NUM_FRAMES
    assert source.notes == [f"{late}: a stream that begins later is dropped"]
    assert len(packets_of(tmp_path / "out.mp4", "audio")) == len(packets_of(flash, "audio"))


def test_a_camera_goes_on_when_a_stream_begins_late(flash: Path, tmp_path: Path) -> None:
    late = with_late_stream(flash, tmp_path / "late.flv")
    frames = list(open_camera(CameraOptions(url=str(late), realtime=False)))
    assert len(frames) == NUM_FRAMES


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_aac_without_its_configuration_is_dropped_with_a_note(flash: Path, tmp_path: Path, suffix: str) -> None:
    data = flash.read_bytes()
    broken = tmp_path / "broken.flv"
    broken.write_bytes(data[:13] + b"".join(tag for kind, _, tag in tags(data) if kind != AUDIO or tag[12] == 1))
    target = tmp_path / f"out.{suffix}"
    source, sink = transcode(broken, target)
    assert (sink.num_frames, source.skipped) == (NUM_FRAMES, 0)
    assert sink.notes == ["audio stream in aac is dropped: it has no AAC configuration"]
    assert len(frame_times(target)) == NUM_FRAMES


def test_more_packets_between_two_frames_than_memory_allows_are_dropped(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passthrough, "_MAX_QUEUED_BYTES", 1500)
    source, sink = transcode(clip, tmp_path / "out.mp4")
    assert sink.num_frames == 50
    assert 0 < len(packets_of(tmp_path / "out.mp4", "audio")) < len(packets_of(clip, "audio"))
    assert any("packets of copied streams are dropped" in note for note in source.notes)


def test_a_single_packet_is_counted_in_the_singular() -> None:
    notes = skipped_notes("a.mp4", SimpleNamespace(late_streams=0, refused=0), 1, 1)  # type: ignore[arg-type]
    assert notes == [
        "a.mp4: 1 packet of copied streams is dropped: too many between two frames, or with times that no file holds"
    ]


def test_a_chapter_beyond_all_time_is_ignored(tmp_path: Path) -> None:
    source, frames = read(DATA / "chapter_overflow.nut")
    assert (len(frames), source.info.chapters) == (6, ())
    transcode(DATA / "chapter_overflow.nut", tmp_path / "out.mp4")
    assert len(frame_times(tmp_path / "out.mp4")) == 6


def test_a_pixel_format_that_cannot_be_converted_is_named() -> None:
    with pytest.raises(SourceError, match="the pixel format rgb4 cannot be converted: Operation not supported"):
        read(DATA / "raw_rgb4.nut")


@pytest.mark.parametrize("codec", ["libx265", "libx264", "ffv1"])
def test_a_broken_last_packet_costs_no_frame_before_it(tmp_path: Path, codec: str) -> None:
    """A decoder with threads reports it at the end of the file only, before frames that wait for their order."""
    whole, path = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    write_clip(whole, [gradient_frame(96, 64, index) for index in range(12)], codec=codec, options=options)
    with av.open(str(whole)) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            written = packet if number < len(packets) - 1 else Packet(b"\xff" * 50)
            written.pts, written.dts, written.time_base = packet.pts, packet.dts, packet.time_base
            written.stream = stream
            output.mux_one(written)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "SLICE"
        expected = []
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.FFmpegError):
                expected += [frame.pts for frame in packet.decode()]
    _, frames = read(path)
    assert len(expected) > 9
    assert [frame.pts for frame in frames] == expected
