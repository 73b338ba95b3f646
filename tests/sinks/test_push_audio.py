"""The camera's audio in live outputs: from a source to the files and streams, packet by packet."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamcam.frames import AudioPacket
from streamcam.media.stream_header import pack_stream, unpack_stream
from streamcam.options import CameraOptions, OutputOptions
from streamcam.sinks.push.destinations import resolve_destination
from streamcam.sinks.push.encoder import StreamEncoder
from streamcam.sinks.push.protocol import Item, WorkerConfig
from streamcam.sinks.push.writers import FileWriter, write_segments
from streamcam.sources import open_camera

from .output_helpers import run_output
from .test_audio import packets, record


def read_camera(path: Path, **options: Any) -> list[Item]:
    """Frames and audio packets of a file as a camera, in order."""
    items: list[Item] = []
    camera = open_camera(CameraOptions(url=str(path), realtime=False, **options), on_audio=items.append)
    for _, frame in camera:
        items.append((frame.video_frame, frame.pts))
    return items


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("audio") / "clip.mp4", "aac", seconds=3, begin=5)


@pytest.fixture(scope="module")
def items(clip: Path) -> list[Item]:
    return read_camera(clip, audio="copy")


def push(path: Path, items: list[Item], **options: Any) -> list[str]:
    """Write items to a file or playlist, and return the warnings."""
    output, warnings = OutputOptions(url=str(path), preset="ultrafast", **options), list[str]()
    config = WorkerConfig(output, Fraction(25))
    if output.segment_seconds:
        write_segments(config, iter(items), lambda: None, warnings.append)
        return warnings
    writer = (
        StreamEncoder(config, resolve_destination(output), warnings.append)
        if path.suffix == ".m3u8"
        else FileWriter(config, warnings.append)
    )
    for item in items:
        if isinstance(item, AudioPacket):
            writer.write_audio(item)
        else:
            writer.write(*item)
    writer.close()
    return warnings


def test_audio_is_on_the_clock_of_the_frames(clip: Path, items: list[Item]) -> None:
    audio = [item for item in items if isinstance(item, AudioPacket)]
    frames = [item for item in items if not isinstance(item, AudioPacket)]
    assert audio[0].data == b""
    assert items[0] is audio[0]
    heard = {item.data: item.pts - frames[0][1] for item in audio[1:]}
    expected = {data: round((seconds - 5) * 90_000) for seconds, data in packets(clip, "audio")}
    assert set(heard) <= set(expected)
    assert len(audio) > 100
    assert all(abs(pts - expected[data]) <= 90 for data, pts in heard.items())
    assert all(item.duration == round(1024 * 90_000 / 44_100) for item in audio[1:])


def test_camera_without_the_option_passes_no_audio(clip: Path) -> None:
    assert not [item for item in read_camera(clip) if isinstance(item, AudioPacket)]


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.m3u8"])
def test_packets_and_times_are_those_of_the_camera(tmp_path: Path, items: list[Item], name: str) -> None:
    assert push(tmp_path / name, items) == []
    audio = [item for item in items if isinstance(item, AudioPacket) and item.data]
    first_pts = next(pts for _, pts in (item for item in items if isinstance(item, tuple)))
    sent = [(item.pts - first_pts, item.data) for item in audio if item.pts >= first_pts]
    paths = sorted(tmp_path.glob("*.ts")) or [tmp_path / name]
    heard = [one for path in paths for one in packets(path, "audio")]
    adts_size = 7 if name == "o.m3u8" else 0
    assert [data[adts_size:] for _, data in heard] == [data for _, data in sent]
    shown = [seconds for path in paths for seconds, _ in packets(path, "video")]
    assert len(shown) == 75
    for (seconds, _), (pts, _) in zip(heard, sent, strict=True):
        assert seconds - shown[0] == pytest.approx(pts / 90_000, abs=0.0015)
    if name == "o.m3u8":
        with av.open(str(tmp_path / name), options={"live_start_index": "0"}) as container:
            assert sum(1 for _ in container.decode(audio=0)) == len(sent)


def test_segments_share_the_packets_among_them(tmp_path: Path, items: list[Item]) -> None:
    assert push(tmp_path / "o.mkv", items, segment_seconds=1) == []
    paths = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(paths) == 3
    first_pts = next(item[1] for item in items if isinstance(item, tuple))
    sent = [item.data for item in items if isinstance(item, AudioPacket) and item.data and item.pts >= first_pts]
    heard = [data for path in paths for _, data in packets(path, "audio")]
    assert sorted(heard) == sorted(sent)
    for path in paths:
        times = [seconds for seconds, _ in packets(path, "audio")]
        assert times[0] < 0.05
        assert times[-1] == pytest.approx(1, abs=0.1)


def test_codec_that_does_not_fit_is_dropped_with_a_warning(tmp_path: Path) -> None:
    items = read_camera(record(tmp_path / "clip.mov", "pcm_alaw", seconds=1, layout="mono"), audio="copy")
    assert push(tmp_path / "o.m3u8", items) == ["audio stream in pcm_alaw is dropped: HLS cannot hold it"]
    assert push(tmp_path / "o.mp4", items) == ["audio stream in pcm_alaw is dropped: .mp4 cannot hold it"]
    for path in (tmp_path / "o-00000.ts", tmp_path / "o.mp4"):
        assert (len(packets(path, "video")), packets(path, "audio")) == (25, [])
    assert push(tmp_path / "o.mov", items) == []
    assert len(packets(tmp_path / "o.mov", "audio")) > 5


def test_other_audio_after_a_reconnection(tmp_path: Path, items: list[Item]) -> None:
    other = read_camera(record(tmp_path / "clip.mkv", "mp3", seconds=1), audio="copy")
    shift = max(item[1] for item in items if isinstance(item, tuple)) + 3600
    later = [
        AudioPacket(item.header, item.data, item.pts + shift, item.duration)
        if isinstance(item, AudioPacket)
        else (item[0], item[1] + shift)
        for item in other
    ]
    both = [*items, *items[:1], *later]
    assert push(tmp_path / "o.m3u8", both) == []
    assert (tmp_path / "o.m3u8").read_text().count("#EXT-X-DISCONTINUITY\n") == 1
    assert push(tmp_path / "o.mp4", both) == ["the camera's audio changed and is dropped from now on"]
    assert {len(packets(tmp_path / "o.mp4", "video"))} == {100}
    assert push(tmp_path / "s.mkv", both, segment_seconds=60) == []
    codecs = set()
    for path in tmp_path.glob("s-*.mkv"):
        with av.open(str(path)) as container:
            codecs.add(container.streams.audio[0].codec_context.codec.canonical_name)
    assert codecs == {"aac", "mp3"}


def test_description_of_a_stream_is_the_same_each_time(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        header = pack_stream(stream)
        assert header == pack_stream(stream)
        copied, template = unpack_stream(header)
        assert template.codec_context is not None
        assert template.codec_context.extradata == stream.codec_context.extradata
        assert (template.codec_context.name, template.codec_context.sample_rate) == ("aac", 44_100)
        copied.close()


@pytest.mark.slow
def test_audio_reaches_the_worker_process(tmp_path: Path, items: list[Item]) -> None:
    with run_output(tmp_path / "o.mkv") as output:
        for item in items:
            if isinstance(item, AudioPacket):
                output.submit_audio(item)
            else:
                output.submit(*item)
    assert output.last_error == ""
    assert len(packets(tmp_path / "o.mkv", "video")) == 75
    assert len(packets(tmp_path / "o.mkv", "audio")) > 100
