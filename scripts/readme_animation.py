"""Make the README's animation, five seconds of a sample beside its Grad-CAM maps: ``make readme-animation``."""

from __future__ import annotations

import itertools
import tempfile
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

import streamcam

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "samples" / "cockatoo.mp4"
ANIMATION = ROOT / "docs" / "cockatoo.webp"
START, END = Fraction("8.9"), Fraction("13.4")
WIDTH = 960
EVERY = 2
QUALITY = 82
MAX_BYTES = 3_000_000


def annotated_frames(path: Path) -> tuple[list[Image.Image], list[int]]:
    """Return every second frame, scaled to `WIDTH`, and the milliseconds that each stays on screen."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))[::EVERY]
    height = WIDTH * frames[0].height // frames[0].width
    images = [frame.reformat(width=WIDTH, height=height, interpolation="AREA").to_image() for frame in frames]
    times = [round(1000 * frame.time) for frame in frames]
    durations = [after - before for before, after in itertools.pairwise(times)]
    return images, [*durations, durations[-1]]


def main() -> None:
    """Explain the clip, then write the frames as an animated WebP."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "cockatoo.mp4"
        streamcam.process(CLIP, video, start=START, end=END, layout="side-by-side")
        images, durations = annotated_frames(video)
    first, *others = images
    first.save(ANIMATION, save_all=True, append_images=others, duration=durations, loop=0, quality=QUALITY, method=6)
    size = ANIMATION.stat().st_size
    if size >= MAX_BYTES:
        raise SystemExit(f"{ANIMATION} has {size:,} bytes; expected fewer than {MAX_BYTES:,}; lower QUALITY or WIDTH")
    print(f"{ANIMATION}: {len(images)} frames, {first.width}x{first.height}, {size:,} bytes")


if __name__ == "__main__":
    main()
