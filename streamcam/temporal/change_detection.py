"""Measuring image change, and selecting the frames to explain by it.

Images are compared by a few samples: of each plane every s-th of every s-th line, so that about 32 lie along the
shorter side, in blocks of about 8×8. With p and q the samples of two images as parts of the codes' range (0–1):

    change(p, q) = max over planes and blocks of  mean over the block of |p − q|

A block is about as large as a cell of a classifier's last feature map: a small moving object counts as much as the
whole image moving. Chroma counts too, since the model sees colors. Comparing takes about a third of the time of
scaling the image to the model's input, so a frame that is not explained is not scaled either.

A frame is compared with the last explained one and not with the one before it, so that slow changes add up.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frames import Frame, SourceInfo
from ..media.planes import plane_arrays
from ..options import Interpolation, TemporalOptions

ThumbnailPlanes: TypeAlias = tuple[NDArray[np.float32], ...]
"""Of luma, Cb and Cr: float32 ``(about 32, …)`` each, 0–1."""

MAX_HOLD_FRAMES = 16
"""Frames that one explanation may serve with ``--every auto``: explaining one frame of 16 costs less than drawing, so a
longer hold would save nothing."""

AUTO_EVERY_ESTIMATE = 4
"""With ``--every auto``, the batch is that of every 4th frame: a batch is always full or padded, and in still scenes
padding would cancel the savings of held frames. On a CPU, batches of 2 are 16 % slower a frame than batches of 8."""

THUMBNAIL_SIDE = 32
BLOCK_SIZE = 8
MIN_CORRELATION = 0.5
"""Correlation of the luma below which two images show different scenes."""
NOISE_STD = 1 / 32
"""Assumed standard deviation of the luma's noise, ε."""


def thumbnail_planes(frame: Frame) -> ThumbnailPlanes:
    """Return the few samples by which a frame is compared.

    Copies, so that the frame can be freed.
    """
    thumbnails = []
    for plane in plane_arrays(frame.video_frame):
        step = max(1, min(plane.shape) // THUMBNAIL_SIDE)
        thumbnail = plane[step // 2 :: step, step // 2 :: step].astype(np.float32)
        thumbnails.append(np.divide(thumbnail, 255 if plane.dtype == np.uint8 else 1023, out=thumbnail))
    return tuple(thumbnails)


def measure_change(before: ThumbnailPlanes, after: ThumbnailPlanes) -> float:
    """Return the largest mean difference of a block.

    From 0 (the same samples) to 1 (the whole range).
    """
    largest = 0.0
    for p, q in zip(before, after, strict=True):
        rows, columns = _block_mean_matrix(p.shape[0]), _block_mean_matrix(p.shape[1])
        largest = max(largest, float((rows @ np.abs(p - q) @ columns.T).max()))
    return largest


@functools.lru_cache(maxsize=16)
def _block_mean_matrix(length: int) -> NDArray[np.float32]:
    """Return the matrix ``(blocks, length)`` that takes the mean of each block."""
    blocks = max(1, round(length / BLOCK_SIZE))
    block = np.arange(length) * blocks // length
    ones = block == np.arange(blocks)[:, None]
    means: NDArray[np.float32] = (ones / ones.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def is_cut(p: NDArray[np.float32], q: NDArray[np.float32]) -> bool:
    """Return True if two images show different scenes.

    That is so on both sides of a cut, even a dark one.

    The correlation of their luma, ``(h, w)`` and 0–1, is compared with `MIN_CORRELATION`. The variance of noise
    is added to each part, so that two images of noise alone count as the same scene:

        (cov(p, q) + ε²) / √((var(p) + ε²) · (var(q) + ε²))
    """
    p, q = p - p.mean(), q - q.mean()
    noise = NOISE_STD**2 * p.size
    scale = (float(np.vdot(p, p)) + noise) * (float(np.vdot(q, q)) + noise)
    return float(np.vdot(p, q)) + noise < MIN_CORRELATION * math.sqrt(scale)


class ChangeDetector:
    """Selects frames of one stream, given in order, to explain.

    Explains the first frame, that of each chunk, and each one whose `measure_change` from the last explained frame is
    more than ``threshold``, that `is_cut` from it, or that would be the `MAX_HOLD_FRAMES`-th to hold its map.

    Args:
        threshold: the change beyond which a frame is explained, 0–1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._last_explained: ThumbnailPlanes = ()
        self._last_index = 0

    def __call__(self, frame: Frame) -> bool:
        """Return True if this frame is to be explained."""
        thumbnails = thumbnail_planes(frame)
        if (
            not frame.starts_chunk
            and self._last_explained
            and frame.index - self._last_index < MAX_HOLD_FRAMES
            and measure_change(self._last_explained, thumbnails) <= self._threshold
            and not is_cut(self._last_explained[0], thumbnails[0])
        ):
            return False
        self._last_explained, self._last_index = thumbnails, frame.index
        return True


def estimate_every(temporal: TemporalOptions) -> int:
    """Return one in how many frames is explained; an estimate for ``--every auto``."""
    return AUTO_EVERY_ESTIMATE if temporal.every == "auto" else temporal.every


def choose_interpolation(info: SourceInfo, temporal: TemporalOptions) -> Interpolation:
    """Return how maps are interpolated: a live source cannot wait for the next one."""
    return "hold" if info.live else temporal.interpolation


def frame_selector(options: TemporalOptions) -> Callable[[Frame], bool]:
    """Return a function that selects the frames of one stream, in order.

    It always selects the first.
    """
    match options.every:
        case "auto":
            return ChangeDetector(options.change_threshold)
        case every:
            return lambda frame: frame.index % every == 0
