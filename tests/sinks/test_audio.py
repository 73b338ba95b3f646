"""Sound that is copied, out of files as cameras, recorders and careless people make them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from streamcam.errors import SinkError
from streamcam.sinks.stream_copy import StreamCopier
from tests.media_helpers import gradient_frame, transcode, write_clip

RATE, SOUND_RATE = 25, 44100


def record(path: Path, codec: str, seconds=2, begin=0, sound=(0, None), layout="stereo"):
    """A clip whose video and audio begin at ``begin`` seconds; audio covers a part of it only."""
    output = av.open(str(path), "w")
    video = output.add_stream("libx264", rate=RATE, options={"bf": "0", "preset": "ultrafast"})
    video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
    audio = output.add_stream(codec, rate=SOUND_RATE, layout=layout)
    resampler = AudioResampler(audio.codec_context.format.name, layout, SOUND_RATE)
    first, last = (seconds if edge is None else edge for edge in sound)
    done = 0
    for index in range(RATE * seconds):
        while index / RATE >= first and done / SOUND_RATE + first < min((index + 5) / RATE, last):
            size = audio.codec_context.frame_size or 1024
            tone = (9000 * np.sin(np.arange(done, done + size) / 20)).astype(np.int16)
            frame = AudioFrame.from_ndarray(np.repeat(tone, audio.codec_context.channels)[None], "s16", layout)
            frame.sample_rate = SOUND_RATE
            for ready in resampler.resample(frame):
                ready.pts, ready.time_base = done + (begin + first) * SOUND_RATE, Fraction(1, SOUND_RATE)
                output.mux(audio.encode(ready))
            done += size
        frame = gradient_frame(96, 64, index)
        frame.pts, frame.time_base = index + RATE * begin, Fraction(1, RATE)
        output.mux(video.encode(frame))
    output.mux([*video.encode(), *audio.encode()])
    output.close()
    return path


def packets(path: Path, kind: str):
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = [packet for packet in container.demux(streams) if packet.size] if streams else []
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in found]


def make_output(path: Path, suffix=".mp4", **options):
    out = path.with_name(f"out{suffix}")
    return out, transcode(path, out, **options)[1]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("source", ["a.mkv", "a.avi"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_plain_samples_without_a_layout_are_copied(tmp_path: Path, source: str, layout: str, suffix: str) -> None:
    path = record(tmp_path / source, "pcm_s16le", layout=layout)
    out, _ = make_output(path, suffix)
    sound = [b"".join(content for _, content in packets(file, "audio")) for file in (path, out)]
    assert sound[0] == sound[1] != b""
    assert len(packets(out, "video")) == 50


def test_sound_that_mp4_cannot_hold_is_left_out_before_anything_is_written(tmp_path: Path) -> None:
    out, sink = make_output(record(tmp_path / "a.mkv", "pcm_s16le", layout="hexadecagonal"))
    assert [note for note in sink.notes if note == "audio stream in pcm_s16le is dropped: .mp4 cannot hold it"]
    assert len(packets(out, "video")) == 50


class TestDescribedByPackets:
    """MP4 describes AC-3 by its first packet, for which its header waits."""

    @pytest.mark.parametrize("codec", ["ac3", "eac3"])
    def test_sound_that_begins_late_is_waited_for(self, tmp_path: Path, codec: str) -> None:
        path = record(tmp_path / "a.mkv", codec, seconds=6, sound=(4, None))
        out, _ = make_output(path)
        assert [content for _, content in packets(out, "audio")] == [content for _, content in packets(path, "audio")]
        assert packets(out, "audio")[0][0] == pytest.approx(packets(path, "audio")[0][0], abs=0.01)
        assert sorted(time for time, _ in packets(out, "video")) == pytest.approx(
            [n / RATE for n in range(150)], abs=1e-3
        )

    @pytest.mark.parametrize(
        ("seconds", "sound", "options"),
        [(2, (0, 0.5), {"start": Fraction("1.2")}), (13, (12, None), {})],
        ids=["none", "too late"],
    )
    def test_sound_that_does_not_come_is_left_out(self, tmp_path: Path, seconds, sound, options) -> None:
        out, sink = make_output(record(tmp_path / "a.mkv", "ac3", seconds=seconds, sound=sound), **options)
        assert [note for note in sink.notes if note.startswith("audio stream in ac3 is dropped: no packet in 10 s")]
        assert packets(out, "audio") == []
        assert len(packets(out, "video")) == sink.num_frames == (seconds - options.get("start", 0)) * RATE


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("begins", [(0, 0), (100, 0), (0, 100), (30_000, 7)])
@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_recordings_one_after_the_other_are_one(tmp_path: Path, codec: str, begins, suffix: str) -> None:
    parts = [record(tmp_path / f"{n}.ts", codec, begin=begin) for n, begin in enumerate(begins)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    out, _ = make_output(path, suffix)
    frames = sorted(time for time, _ in packets(out, "video"))
    sound = packets(out, "audio")
    if begins == (0, 100):  # a gap, which may be meant
        gap = packets(parts[1], "video")[0][0] - packets(parts[0], "video")[-1][0]
        assert max(np.diff(frames)) == pytest.approx(gap, abs=1e-3)
        assert max(np.diff([time for time, _ in sound])) == pytest.approx(98, abs=0.1)
    else:
        assert np.diff(frames) == pytest.approx([1 / RATE] * 99, abs=1e-3)
        assert max(np.diff([time for time, _ in sound])) < 0.1
    assert len(sound) == sum(len(packets(part, "audio")) for part in parts)
    # The second recording's audio begins with its video, as the first one's does.
    half = len(sound) // 2
    offsets = [sound[0][0] - frames[0], sound[half + 20][0] - sound[20][0] - (frames[50] - frames[0])]
    assert offsets[1] == pytest.approx(0, abs=0.05), offsets


@pytest.mark.parametrize("start", ["0.5", "0.59", "1.01"])
def test_audio_stays_in_sync_with_the_frames(tmp_path: Path, start: str) -> None:
    path = record(tmp_path / "a.avi", "libmp3lame")
    out, _ = make_output(path, start=Fraction(start))
    shifts = []
    for kind in ("audio", "video"):
        before, after = packets(path, kind), packets(out, kind)
        if kind == "audio":
            times = {content: time for time, content in before}
            shifts.append(np.median([times[content] - time for time, content in after]))
        else:
            shifts.append(before[len(before) - len(after)][0] - after[0][0])
    assert shifts[0] == pytest.approx(shifts[1], abs=1e-3)


def test_a_frame_of_days_is_refused_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 140_000_000]
    path = write_clip(
        tmp_path / "a.mkv",
        [gradient_frame(96, 64, n) for n in range(4)],
        stamps,
        codec="ffv1",
        time_base=Fraction(1, 1000),
    )
    with pytest.raises(SinkError, match=r"shown for 38\.9 hours; choose a name that ends in \.mkv"):
        make_output(path)
    out, sink = make_output(path, ".mkv")
    assert sink.num_frames == 4
    with av.open(str(out)) as container:
        assert [round(float(frame.time), 3) for frame in container.decode(video=0)] == [0, 0.04, 0.08, 140_000]


def test_a_long_gap_belongs_to_the_length_of_the_track(tmp_path: Path) -> None:
    stamps = [0, 33, 66, 101, 1000, 4000, 31000]
    path = write_clip(
        tmp_path / "a.mkv",
        [gradient_frame(96, 64, n) for n in range(7)],
        stamps,
        codec="ffv1",
        time_base=Fraction(1, 1000),
    )
    out, _ = make_output(path)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(31.04, abs=0.05)
        assert container.duration / 1e6 == pytest.approx(31.04, abs=0.05)


def test_packets_of_one_stream_may_count_in_different_ticks(tmp_path: Path) -> None:
    with av.open(str(record(tmp_path / "a.mkv", "aac"))) as source, av.open(str(tmp_path / "o.mkv"), "w") as output:
        copier = StreamCopier(output, [source.streams.audio[0]])
        output.start_encoding()
        given = [packet for packet in source.demux(audio=0) if packet.size][:4]
        for packet, dts, ticks in zip(
            given, (1000, 180_000, 3000, 2999 * 90), (1000, 90_000, 1000, 90_000), strict=True
        ):
            packet.dts = packet.pts = dts
            packet.time_base = Fraction(1, ticks)
        copier.mux(given)
        assert copier.num_corrected == 1
    assert [time for time, _ in packets(tmp_path / "o.mkv", "audio")] == [1, 2, 3, 3.001]
