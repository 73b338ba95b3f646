"""Round trips: what was written is opened again and compared with what went in."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    box_types,
    frame_times,
    gradient_frame,
    packets_of,
    transcode,
    write_clip,
    write_image,
)

from .sink_helpers import SUFFIXES_AND_CODECS, TIME_BASE, open_test_sink


@pytest.mark.parametrize(("suffix", "codec"), SUFFIXES_AND_CODECS)
def test_every_codec_in_every_container_keeps_times_sound_and_size(
    clip: Path, tmp_path: Path, suffix: str, codec: str
) -> None:
    target = tmp_path / f"out{suffix}"
    _, writer = transcode(clip, target, codec=codec)
    assert writer.num_frames == 50
    before, after = frame_times(clip), frame_times(target)
    assert len(after) == 50
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= (
        TIME_BASE if suffix in (".mkv", ".webm") else 0
    )
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (160, 96)
        assert stream.codec_context.codec.canonical_name == {"h264": "h264", "hevc": "hevc"}.get(codec, codec)
        if codec == "hevc" and suffix != ".mkv":
            assert stream.codec_context.codec_tag == "hvc1"
    if suffix == ".webm":
        assert writer.notes == ["audio stream (deu) in aac is dropped: .webm cannot hold it"]
    else:
        assert writer.notes == []
        sound, copy = packets_of(clip, "audio"), packets_of(target, "audio")
        assert [data for _, data in copy] == [data for _, data in sound]
        assert max(abs(a[0] - b[0]) for a, b in zip(sound, copy, strict=True)) <= TIME_BASE


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("offset", [0, 11025, 20000])
def test_sound_and_subtitles_travel_byte_for_byte_with_their_offset(tmp_path: Path, suffix: str, offset: int) -> None:
    source = write_clip(
        tmp_path / "in.mkv",
        [gradient_frame(96, 64, i) for i in range(50)],
        audio=True,
        audio_offset=offset,
        subtitles=True,
    )
    target = tmp_path / f"out{suffix}"
    _, writer = transcode(source, target)
    sound, copy = packets_of(source, "audio"), packets_of(target, "audio")
    assert [data for _, data in copy] == [data for _, data in sound]
    assert max(abs(a[0] - b[0]) for a, b in zip(sound, copy, strict=True)) <= TIME_BASE
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "made for a test"
        assert container.streams.audio[0].language == "deu"
    if suffix == ".mkv":
        assert packets_of(target, "subtitle") == packets_of(source, "subtitle")
        assert writer.notes == []
    else:
        assert writer.notes == ["subtitle stream in subrip is dropped: .mp4 cannot hold it"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_broadcast_begins_at_zero_and_keeps_its_sound(tmp_path: Path, suffix: str) -> None:
    stamps = [3600 * index for index in range(50)]
    frames = [gradient_frame(160, 96, i) for i in range(50)]
    source = write_clip(tmp_path / "in.ts", frames, stamps, time_base=Fraction(1, 90_000), audio=True)
    target = tmp_path / f"out{suffix}"
    transcode(source, target)
    before, after = frame_times(source), frame_times(target)
    sound, copy = packets_of(source, "audio"), packets_of(target, "audio")
    shift = min(before[0], sound[0][0])
    assert shift > 0
    assert max(abs(a - shift - b) for a, b in zip(before, after, strict=True)) <= TIME_BASE
    assert max(abs(a[0] - shift - b[0]) for a, b in zip(sound, copy, strict=True)) <= TIME_BASE
    assert all(framed.endswith(plain) for (_, framed), (_, plain) in zip(sound, copy, strict=True))
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(audio=0)) == len(sound)


def test_plays_in_a_browser(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    transcode(clip, target)
    order = box_types(target)
    assert order.index("moov") < order.index("mdat")
    assert "moof" not in order
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec_tag, context.pix_fmt, context.profile) == ("avc1", "yuv420p", "High")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_still_becomes_a_video_of_one_second(tmp_path: Path, suffix: str) -> None:
    source = write_image(tmp_path / "p.png", np.full((64, 96, 3), 90, np.uint8), "png", "rgb24")
    transcode(source, tmp_path / f"o{suffix}")
    assert frame_times(tmp_path / f"o{suffix}") == [0]
    if suffix == ".mp4":
        with av.open(str(tmp_path / "o.mp4")) as container:
            assert container.duration == 1_000_000


def test_copied_packets_out_of_order_never_raise(clip: Path, tmp_path: Path) -> None:
    with open_source(SourceOptions(url=str(clip))) as reader, open_test_sink(tmp_path / "o.mp4", reader.info) as writer:
        for frame in reader:
            for packet in frame.passthrough_packets[1:]:
                packet.dts = packet.pts = 500
            writer.write(frame.video_frame, frame.pts, frame.passthrough_packets)
    assert len(frame_times(tmp_path / "o.mp4")) == 50
    assert any("did not increase" in note for note in writer.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_second_interrupt_costs_only_what_was_in_the_encoder(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_test_sink(tmp_path / f"o{suffix}") as writer:
        for index in range(200):
            writer.write(gradient_frame(96, 64, index), index)
        monkeypatch.setattr(writer, "_mux", again)
        raise KeyboardInterrupt
    assert 100 < len(frame_times(tmp_path / f"o{suffix}")) < 200


@pytest.mark.slow
def test_encoders_print_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:2]\n"
        "from pathlib import Path; from tests.media_helpers import gradient_frame, transcode, write_clip\n"
        "d = Path(sys.argv[2]); c = write_clip(d / 'c.mp4', [gradient_frame(96, 64, i) for i in range(5)])\n"
        "[transcode(c, d / f'{k}.mkv', codec=k) for k in ('h264', 'hevc', 'av1', 'vp9', 'ffv1')]\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, root, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_encoder_leaves_no_real_time_threads(tmp_path: Path) -> None:
    """As root, SVT-AV1 makes the thread that opens it a real-time one; its children would inherit that."""
    before = os.sched_getscheduler(0)
    with open_test_sink(tmp_path / "o.mp4", codec="av1") as sink:
        sink.write(gradient_frame(96, 64), 0)
        threads = [os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")]
    assert os.sched_getscheduler(0) == before
    assert not {os.SCHED_FIFO, os.SCHED_RR} & set(threads)
