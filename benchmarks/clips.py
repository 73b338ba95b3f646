"""Make the clips: the Samoyed sample as 1280x720, 25 frames a second, H.264, yuv420p, no audio, looped.

python benchmarks/clips.py SECONDS OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "samoyed_1080p_nogps.mp4"
SIZE = (1280, 720)
RATE = 25
UNIT_SECONDS = 20
"""Seconds that are really encoded; longer clips repeat the packets."""


def encode(seconds: int, out: Path) -> None:
    """Encode the sample, repeated until the clip is full, each tick showing the last frame due by then."""
    frames = list(_sample_frames())
    length = frames[-1][0] + Fraction(1, RATE)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for tick in range(seconds * RATE):
            due = Fraction(tick, RATE) % length
            image = next(image for time, image in reversed(frames) if time <= due)
            image.pts, image.time_base = tick, Fraction(1, RATE)
            image.pict_type = PictureType.NONE
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def _sample_frames() -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield the sample's frames at the clip's size with their time in seconds from the first one."""
    reformatter = VideoReformatter()
    with av.open(str(SAMPLE)) as container:
        first: Fraction | None = None
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            time = frame.pts * frame.time_base
            first = time if first is None else first
            yield time - first, reformatter.reformat(frame, *SIZE, format="yuv420p")


def repeat(unit: Path, times: int, out: Path) -> None:
    """Write the packets of a clip several times over, each round moved on by the clip's length."""
    with av.open(str(unit)) as source, av.open(str(out), "w") as container:
        stream = source.streams.video[0]
        copy = container.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.pts is not None and packet.dts is not None]
        step = int(Fraction(1, RATE) / packets[0].time_base)
        for later in range(0, times * len(packets) * step, len(packets) * step):
            for packet in packets:
                moved = Packet(bytes(packet))
                assert packet.pts is not None
                assert packet.dts is not None
                moved.pts, moved.dts = packet.pts + later, packet.dts + later
                moved.duration, moved.time_base = step, packet.time_base
                moved.is_keyframe, moved.stream = packet.is_keyframe, copy
                container.mux(moved)


def main() -> None:
    seconds, out = int(sys.argv[1]), Path(sys.argv[2])
    if seconds <= UNIT_SECONDS:
        encode(seconds, out)
        return
    unit = out.with_name(f"unit-{out.name}")
    encode(UNIT_SECONDS, unit)
    repeat(unit, seconds // UNIT_SECONDS, out)
    unit.unlink()


if __name__ == "__main__":
    main()
