"""Small clips of known content."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def write_clip(path: Path, images: Iterable[NDArray[np.uint8]], *, rotation: int = 0, rate: int = 10) -> Path:
    """Encode upright RGB images; with a rotation they are stored rotated, with a tag that players apply.

    ``rotation``: degrees counter-clockwise by which a player turns the stored frame.
    """
    with av.open(str(path), "w") as container:
        stream: Any = None
        for n, upright in enumerate(images):
            stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "8", "preset": "ultrafast"})
                stream.height, stream.width = stored.shape[:2]
                stream.pix_fmt = "yuv420p"
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_long_clip(path: Path, count: int) -> Path:
    """Encode noise of 96×64, which makes large files quickly."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(8)]
    return write_clip(path, (noise[n % 8] for n in range(count)))


def read_rgb(path: Path) -> list[NDArray[np.uint8]]:
    """All frames as RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_luma(path: Path) -> list[NDArray[np.float64]]:
    """The luma planes of all frames."""
    with av.open(str(path)) as container:
        return [frame.reformat(format="gray").to_ndarray().astype(np.float64) for frame in container.decode(video=0)]
