"""Subtitles of MP4 are a stream without gaps: empty texts stand between those that are shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from tests.media_helpers import gradient_frame, packets_of, transcode


def test_subtitles_of_mp4_stay_those_of_mp4(tmp_path: Path) -> None:
    """Its muxer ends each text with an empty one; those of the input must not come on top."""
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        text = output.add_mux_stream("mov_text")
        text.time_base = Fraction(1, 1000)
        for index in range(40):
            frame = gradient_frame(96, 64, index)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode())
        for line in range(3):
            words = f"line {line}".encode()
            packet = av.Packet(len(words).to_bytes(2, "big") + words)
            packet.pts = packet.dts = 100 + 400 * line
            packet.duration, packet.time_base, packet.stream = 300, Fraction(1, 1000), text
            output.mux_one(packet)
    transcode(source, target)
    before, after = packets_of(source, "subtitle"), packets_of(target, "subtitle")
    assert sum(len(data) > 2 for _, data in before) == 3
    assert after[: len(before)] == before
    assert [data for _, data in after[len(before) :]] in ([], [b"\0\0"])
