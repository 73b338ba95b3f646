"""``leak``: validation images that are in the training data too, or come from the same video."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from ....errors import count_of
from ..evidence import Evidence, Fault, FloatArray, ImageRecord
from ..matching import SIDE, Fingerprints, find_copies, fingerprints, flat_share, resize_nearest
from .frame_sequences import find_shared_sequences

_COARSE_SIMILARITY = 0.8
_SHIFTED_SIMILARITY = 0.6
"""Least correlation of shapes, and of details after the best shift, of two frames of one scene."""

_COLOR_DISTANCE = 0.5
"""Largest distance of colors, relative to the median over the training images."""

_MIN_COMPONENTS, _MIN_DETAIL = 12, 0.004
_CANDIDATES = 3
_MIN_FRAMES = 2
_MIN_SIDE = 24


def check_leak(evidence: Evidence) -> Iterator[Fault]:
    """Compare the first stages of training and validation data."""
    first_stages = evidence.first_stages()
    if len(first_stages) < 2:
        return
    train, validation = first_stages
    own, other = train.records, validation.records
    copies = list(find_copies(own, other))
    copied = {number for _, number in copies}
    if copies:
        first, second = own[copies[0][0]], other[copies[0][1]]
        names = f": {first.path} and {second.path}" if first.path and second.path else ""
        yield Fault(
            "leak",
            validation.name,
            f"{count_of(len(copies), 'validation image')} of {len(other)} "
            f"{'is' if len(copies) == 1 else 'are'} in the training data too{names}: the validation accuracy is too "
            "high; remove them from one of the two",
            len(copies),
            tuple(other[number].index for number in sorted(copied)),
        )
    scenes = {*find_scenes(own, other), *find_shared_sequences(own, other)}
    frames = sorted(scenes - copied)
    if len(frames) >= _MIN_FRAMES:
        yield Fault(
            "leak",
            validation.name,
            f"{count_of(len(frames), 'validation image')} of {len(other)} show the same scene as a training image, as "
            "frames of one video do: split by video, not by frame",
            len(frames),
            tuple(other[number].index for number in frames),
        )


def find_scenes(records: Sequence[ImageRecord], others: Sequence[ImageRecord]) -> list[int]:
    """Return positions in ``others`` of scenes that are in ``records``.

    Two frames of one scene have the same coarse shapes and colors, and rich details that agree after a shift. Shapes
    that all images have in common (a centred face) are subtracted first. Graphics of few shapes tell nothing.
    """
    own, second = fingerprints(records), fingerprints(others)
    coarse, other_coarse = _coarse(own), _coarse(second)
    if len(records) + len(others) >= 16:
        common = np.concatenate([coarse, other_coarse]).mean(0)
        coarse, other_coarse = coarse - common, other_coarse - common
    coarse, other_coarse = _unit(coarse), _unit(other_coarse)
    colors, other_colors = _colors(records), _colors(others)
    bands, is_rich = _bands(own, records)
    other_bands, other_is_rich = _bands(second, others)
    found = []
    for number in np.flatnonzero(other_is_rich):
        similar = np.where(is_rich, coarse @ other_coarse[number], -1)
        distance = np.sqrt(((colors - other_colors[number]) ** 2).mean(1))
        near = distance <= _COLOR_DISTANCE * np.median(distance)
        for candidate in np.argsort(-similar)[:_CANDIDATES]:
            if similar[candidate] < _COARSE_SIMILARITY or not (near[candidate] or len(records) < 6):
                continue
            same_video = _is_same_video(records[int(candidate)].path, others[int(number)].path)
            limit = _SHIFTED_SIMILARITY * (0.7 if same_video else 1)
            if _shifted_similarity(bands[candidate], other_bands[number]) >= limit:
                found.append(int(number))
                break
    return found


def _colors(records: Sequence[ImageRecord]) -> FloatArray:
    """Return the colors of blocks of 4x4 pixels, ``(N, values)``."""
    thumbnails = [resize_nearest(record.thumbnail.astype(np.float32)) for record in records]
    color = np.stack([one[..., :3] if one.shape[2] >= 3 else np.repeat(one[..., :1], 3, 2) for one in thumbnails])
    blocks = color.reshape(len(records), SIDE // 4, 4, SIDE // 4, 4, 3).mean((2, 4))
    flat: FloatArray = blocks.reshape(len(records), -1)
    return flat


def _coarse(prints: Fingerprints) -> FloatArray:
    """Return the shapes: means over blocks of 4x4 pixels."""
    blocks = prints.luma.reshape(len(prints), SIDE // 4, 4, SIDE // 4, 4).mean((2, 4))
    return _unit(blocks.reshape(len(prints), -1))


def _bands(prints: Fingerprints, records: Sequence[ImageRecord]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the spectra of details, and which are rich.

    Details have 4 to 16 periods a side. They are rich if they hold a share of the contrast, in many frequencies, and
    the image has no large areas of one color.
    """
    window = np.hanning(SIDE + 2)[1:-1]
    spectra = np.fft.fft2(prints.luma * window[:, None] * window[None])
    total = (np.abs(spectra) ** 2).sum((1, 2))
    frequency = np.fft.fftfreq(SIDE, 1 / SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    spectra[:, (radius < 4) | (radius > 16)] = 0
    power = np.abs(spectra) ** 2
    energy = power.sum((1, 2))
    components = energy**2 / np.maximum((power**2).sum((1, 2)), 1e-30)
    is_rich = (components >= _MIN_COMPONENTS) & (energy >= _MIN_DETAIL * total) & ~prints.is_flat
    is_rich &= np.array([min(one.thumbnail.shape[:2]) >= _MIN_SIDE and flat_share(one) <= 0.4 for one in records])
    unit: FloatArray = spectra / np.maximum(np.sqrt(energy), 1e-12)[:, None, None]
    return unit, is_rich


def _shifted_similarity(one: FloatArray, two: FloatArray) -> float:
    """Return the correlation of two images after the best shift."""
    return float(np.fft.ifft2(two * np.conj(one)).real.max() * SIDE**2)


def _is_same_video(one: str, two: str) -> bool:
    """Return True for files such as ``clip3_0012.jpg`` and ``clip3_0019.jpg``."""
    stems = [re.fullmatch(r"(.*\D)?(\d+)", PurePath(path).stem) for path in (one, two)]
    return bool(one and two and stems[0] and stems[1] and stems[0][1] and stems[0][1] == stems[1][1])


def _unit(rows: FloatArray) -> FloatArray:
    unit: FloatArray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
