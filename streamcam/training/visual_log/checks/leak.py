"""``leak``: validation images that are in the training data too, or come from the same video."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, FloatArray, ImageRecord
from ..matching import SIDE, Fingerprints, find_copies, fingerprints

_COARSE_SIMILARITY = 0.8
_SHIFTED_SIMILARITY = 0.6
"""Least correlation of shapes, and of details after the best shift, of two frames of one scene."""

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
    frames = [number for number in find_scenes(own, other) if number not in copied]
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
    """Return positions in ``others`` of images of a scene that is also in ``records``.

    Two frames of one scene have the same coarse shapes, and details that agree after a shift. Shapes that all images
    have in common (a centred face) are subtracted first.
    """
    own, second = fingerprints(records), fingerprints(others)
    coarse, other_coarse = _coarse(own), _coarse(second)
    if len(records) + len(others) >= 16:
        common = np.concatenate([coarse, other_coarse]).mean(0)
        coarse, other_coarse = coarse - common, other_coarse - common
    coarse, other_coarse = _unit(coarse), _unit(other_coarse)
    bands = _bands(own)
    found = []
    for number, band in enumerate(_bands(second)):
        if second.is_flat[number] or min(others[number].thumbnail.shape[:2]) < _MIN_SIDE:
            continue
        similar = coarse @ other_coarse[number]
        for candidate in np.argsort(-similar)[:_CANDIDATES]:
            if own.is_flat[candidate] or similar[candidate] < _COARSE_SIMILARITY:
                continue
            same_video = _is_same_video(records[int(candidate)].path, others[number].path)
            limit = _SHIFTED_SIMILARITY * (0.7 if same_video else 1)
            if _shifted_similarity(bands[candidate], band) >= limit:
                found.append(number)
                break
    return found


def _coarse(prints: Fingerprints) -> FloatArray:
    """Return the shapes: means over blocks of 4x4 pixels."""
    blocks = prints.luma.reshape(len(prints), SIDE // 4, 4, SIDE // 4, 4).mean((2, 4))
    return _unit(blocks.reshape(len(prints), -1))


def _bands(prints: Fingerprints) -> FloatArray:
    """Return the spectra of the details, 3 to 12 periods a side, with norm 1."""
    window = np.hanning(SIDE + 2)[1:-1]
    spectra = np.fft.fft2(prints.luma * window[:, None] * window[None])
    frequency = np.fft.fftfreq(SIDE, 1 / SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    spectra[:, (radius < 2.5) | (radius > 12)] = 0
    norm = np.sqrt((np.abs(spectra) ** 2).sum((1, 2), keepdims=True))
    unit: FloatArray = spectra / np.maximum(norm, 1e-12)
    return unit


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
