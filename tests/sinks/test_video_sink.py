"""Round trips: what was written is opened again and compared with what went in."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.errors import OptionError, SinkError
from streamcam.frames import ColorSpec
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    COLORS,
    box_types,
    color_patches,
    frame_times,
    gradient_frame,
    packets_of,
    patch_codes,
    to_rgb,
    transcode,
    write_clip,
    write_image,
)

from .sink_helpers import SUFFIXES_AND_CODECS, TIME_BASE, open_test_sink, source_info


def mean_rgb_error(source: Path, target: Path, matrix: int, full_range: bool) -> float:
    with av.open(str(source)) as a, av.open(str(target)) as b:
        before, after = next(a.decode(video=0)), next(b.decode(video=0))
    return float(
        np.abs(to_rgb(patch_codes(before), matrix, full_range) - to_rgb(patch_codes(after), matrix, full_range)).max()
    )


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


def test_rotation_is_shown_once(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [gradient_frame(160, 96, i) for i in range(3)], rotation=90)
    transcode(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (96, 160, 0)


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


@pytest.mark.parametrize("codec", ["ffv1", "vp9"])
def test_odd_sizes_where_the_codec_has_them(tmp_path: Path, codec: str) -> None:
    source = write_clip(tmp_path / "in.mkv", [gradient_frame(853, 481, i) for i in range(3)], codec="ffv1")
    transcode(source, tmp_path / "out.mkv", codec=codec)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(853, 481)] * 3


def test_odd_sizes_where_it_has_not_are_refused_without_a_file(tmp_path: Path) -> None:
    with (
        pytest.raises(SinkError, match="h264 cannot hold frames of 853x481; expected even sides"),
        open_test_sink(tmp_path / "o.mp4") as writer,
    ):
        writer.write(gradient_frame(853, 481), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("suffix", "codec", "crf"), [(".mp4", "h264", 4), (".mkv", "ffv1", None)])
def test_colours_and_tags_survive(
    tmp_path: Path, matrix: int, full: bool, suffix: str, codec: str, crf: int | None
) -> None:
    tags = (1 + full, matrix, matrix, matrix)
    source = write_clip(tmp_path / "in.mkv", [color_patches(matrix, full)] * 1, codec="ffv1", color=tags)
    target = tmp_path / f"out{suffix}"
    transcode(source, target, codec=codec, crf=crf)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == tags
    assert mean_rgb_error(source, target, matrix, full) <= 2


@pytest.mark.parametrize("codec", ["hevc", "av1", "ffv1"])
@pytest.mark.parametrize("transfer", [1, 16, 18])
def test_ten_bit_and_hdr_are_kept(tmp_path: Path, codec: str, transfer: int) -> None:
    tags = (1, 9, transfer, 9)
    source = write_clip(tmp_path / "in.mkv", [color_patches(9, False, "yuv420p10le")] * 1, codec="ffv1", color=tags)
    target = tmp_path / "out.mkv"
    transcode(source, target, codec=codec, crf=None if codec == "ffv1" else 5)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == tags
    with av.open(str(source)) as container:
        before = next(container.decode(video=0))
    assert np.abs(patch_codes(frame) - patch_codes(before)).max() <= 12


def test_ten_bit_becomes_eight_where_the_codec_has_no_more(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", [color_patches(1, False, "yuv420p10le")], codec="ffv1", color=(1, 1, 1, 1))
    transcode(source, tmp_path / "out.mp4", crf=4)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p"
    assert np.abs(to_rgb(patch_codes(frame), 1, False) - COLORS).max() <= 3


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_hdr_is_refused_by_eight_bit_codecs(tmp_path: Path, transfer: int, name: str, codec: str) -> None:
    about = source_info(pixel_format="yuv420p10le", color=ColorSpec(1, 9, transfer, 9))
    with pytest.raises(SinkError, match=rf"is HDR \({name}\), which {codec} cannot keep; use --codec hevc or av1"):
        open_test_sink(tmp_path / "o.mp4", about, codec=codec)


def test_aspect_of_pixels_is_kept(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [gradient_frame(96, 64)], aspect=Fraction(4, 3))
    for suffix in (".mp4", ".mkv"):
        transcode(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


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


class TestOptions:
    """Quality and speed: sent to the encoder, or refused in one line."""

    def test_crf_changes_the_size(self, clip: Path, tmp_path: Path) -> None:
        sizes = []
        for crf in (10, 45):
            transcode(clip, tmp_path / f"{crf}.mp4", crf=crf)
            sizes.append(sum(len(data) for _, data in packets_of(tmp_path / f"{crf}.mp4", "video")))
        assert sizes[0] > 1.5 * sizes[1]

    def test_unknown_preset(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"unknown --preset 'fastt' of h264.*did you mean 'fast'"):
            open_test_sink(tmp_path / "o.mp4", preset="fastt")
        with pytest.raises(OptionError, match="unknown --preset 'fast' of av1"):
            open_test_sink(tmp_path / "o.mp4", codec="av1", preset="fast")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, b"subme=1 mbtree=1 rc_lookahead=10 crf=20.0"),
            ({"preset": "superfast", "crf": 30}, b"subme=1 mbtree=1 rc_lookahead=10 crf=30.0"),
            ({"preset": "veryfast"}, b"subme=2 mbtree=1 rc_lookahead=10 crf=20.0"),
            ({"preset": "ultrafast"}, b"subme=0 mbtree=0 rc=crf crf=20.0"),
        ],
    )
    def test_what_x264_wrote_into_the_stream(
        self, clip: Path, tmp_path: Path, options: dict[str, Any], expected: bytes
    ) -> None:
        transcode(clip, tmp_path / "o.mp4", **options)
        data = (tmp_path / "o.mp4").read_bytes()
        assert all(b" %s " % part in data for part in expected.split()), data[data.index(b"options: ") :][:600]

    @pytest.mark.parametrize(("codec", "preset"), [("hevc", "ultrafast"), ("av1", "12"), ("vp9", "8"), ("vp9", "3")])
    def test_known_preset(self, clip: Path, tmp_path: Path, codec: str, preset: str) -> None:
        transcode(clip, tmp_path / "o.mp4", codec=codec, preset=preset)
        assert len(frame_times(tmp_path / "o.mp4")) == 50

    def test_quality_and_speed_of_a_lossless_codec(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="--crf 20 cannot be used with ffv1"):
            open_test_sink(tmp_path / "o.mkv", codec="ffv1", crf=20)
        with pytest.raises(OptionError, match="--preset 'fast' cannot be used with ffv1"):
            open_test_sink(tmp_path / "o.mkv", codec="ffv1", preset="fast")

    def test_crf_beyond_the_codec(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="invalid --crf 60 for h264; expected 0 to 51"):
            open_test_sink(tmp_path / "o.mp4", crf=60)

    def test_codec_that_does_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match=r"h264 does not go into \.webm; expected one of vp9, av1; or use \.mp4"):
            open_test_sink(tmp_path / "o.webm", codec="h264")


class TestPlaces:
    """What is wrong with an output is said before anything is done to it."""

    def test_existing_file_is_untouched(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").write_bytes(b"precious")
        with pytest.raises(SinkError, match="exists already; use --overwrite"):
            open_test_sink(tmp_path / "o.mp4")
        assert (tmp_path / "o.mp4").read_bytes() == b"precious"

    def test_overwriting_waits_for_the_first_frame(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").write_bytes(b"precious")
        with open_test_sink(tmp_path / "o.mp4", overwrite=True) as writer:
            assert writer.num_frames == 0
        assert (tmp_path / "o.mp4").read_bytes() == b"precious"
        with open_test_sink(tmp_path / "o.mp4", overwrite=True) as writer:
            writer.write(gradient_frame(96, 64), 0)
        assert len(frame_times(tmp_path / "o.mp4")) == 1

    def test_the_input_itself(self, clip: Path, tmp_path: Path) -> None:
        link = tmp_path / "link.mp4"
        link.symlink_to(clip)
        with open_source(SourceOptions(url=str(clip))) as reader, pytest.raises(SinkError, match="is the input itself"):
            open_test_sink(link, reader.info, overwrite=True)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match="does not exist; create it first"):
            open_test_sink(tmp_path / "no" / "o.mp4")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that no user can write to")
    def test_unwritable_folder(self) -> None:
        with pytest.raises(SinkError, match="cannot be written to"):
            open_test_sink(Path("/proc/self/o.mp4"))

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(SinkError, match="cannot be written to: Permission denied"):
            open_test_sink(tmp_path / "o.mp4")

    @pytest.mark.parametrize("name", ["o.avi", "o"])
    def test_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SinkError, match=r"expected one of \.mp4, \.mov, \.mkv, \.webm"):
            open_test_sink(tmp_path / name)

    def test_folder_as_output(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").mkdir()
        with pytest.raises(SinkError, match="is a folder"):
            open_test_sink(tmp_path / "o.mp4")

    def test_frames_that_change_their_size(self, tmp_path: Path) -> None:
        with (
            pytest.raises(SinkError, match="frame 1 has 64x64; expected 96x64"),
            open_test_sink(tmp_path / "o.mp4") as writer,
        ):
            writer.write(gradient_frame(96, 64), 0)
            writer.write(gradient_frame(64, 64), 1)
        assert len(frame_times(tmp_path / "o.mp4")) == 1


def test_an_encoder_leaves_no_real_time_threads(tmp_path: Path) -> None:
    """As root, SVT-AV1 makes the thread that opens it a real-time one; its children would inherit that."""
    before = os.sched_getscheduler(0)
    with open_test_sink(tmp_path / "o.mp4", codec="av1") as sink:
        sink.write(gradient_frame(96, 64), 0)
        threads = [os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")]
    assert os.sched_getscheduler(0) == before
    assert not {os.SCHED_FIFO, os.SCHED_RR} & set(threads)
