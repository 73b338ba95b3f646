"""Find frames of one video in both data sets by file names.

Numbers alone prove nothing: any collection may be numbered. The frames of a video are a sequence, in which files with
neighbouring numbers look alike far more than others do.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import TypeAlias

import numpy as np

from ..evidence import FloatArray, ImageRecord
from ..matching import fingerprints

_MIN_FRAMES, _MAX_FRAMES = 8, 512
_MIN_SIGMAS = 3.5
"""Least deviation of the mean rank of neighbours from that of chance."""

_MIN_SIMILARITY = 0.4
"""Least median correlation of neighbours."""

_MAX_CHANGE = 0.75
"""Largest change between neighbours, relative to that between any two files."""

_MAX_GAP = 3
"""Largest gap between the numbers of neighbours, relative to the median."""

_Frame: TypeAlias = tuple[int, int, ImageRecord]


def find_shared_sequences(records: Sequence[ImageRecord], others: Sequence[ImageRecord]) -> list[int]:
    """Return positions in ``others`` of frames of shared videos.

    Args:
        records: the training images.
        others: the validation images.
    """
    sequences: dict[tuple[str, str], list[_Frame]] = defaultdict(list)
    positions = itertools.chain(((-1, record) for record in records), enumerate(others))
    for position, record in positions:
        key = _sequence_key(record.path)
        if key is not None:
            sequences[key[:2]].append((key[2], position, record))
    found: list[int] = []
    for frames in sequences.values():
        frames.sort(key=lambda frame: frame[:2])
        in_both = len({position < 0 for _, position, _ in frames}) == 2
        if in_both and len(frames) >= _MIN_FRAMES:
            found += _shared_frames(frames[:_MAX_FRAMES])
    return sorted(found)


def _sequence_key(path: str) -> tuple[str, str, int] | None:
    """Return folder, prefix and number of files such as ``bird/clip3_0012.jpg``."""
    match = re.fullmatch(r"(.*\D)?(\d{1,12})", PurePath(path).stem) if path else None
    return None if match is None else (PurePath(path).parent.name, match[1] or "", int(match[2]))


def _shared_frames(frames: Sequence[_Frame]) -> list[int]:
    """Return the validation frames beside training frames of a sequence."""
    luma = fingerprints([record for *_, record in frames]).luma.reshape(len(frames), -1)
    similar = luma @ luma.T
    steps = np.diagonal(similar, 1)
    if not _is_video(similar, steps):
        return []
    gaps = np.diff([number for number, *_ in frames])
    is_joined = (gaps <= _MAX_GAP * np.median(gaps)) & (steps >= np.quantile(steps, 0.25))
    found: list[int] = []
    begin = 0
    for is_train, group in itertools.groupby(frames, key=lambda frame: frame[1] < 0):
        run = list(group)
        end = begin + len(run)
        edges = [edge for edge in (begin - 1, end - 1) if 0 <= edge < len(steps)]
        if not is_train and any(is_joined[edge] for edge in edges):
            found += [position for _, position, _ in run]
        begin = end
    return found


def _is_video(similar: FloatArray, steps: FloatArray) -> bool:
    """Return True if neighbours look alike, far more than any two do."""
    count = len(similar)
    ranks = []
    for number, step in enumerate(steps):
        rest = np.delete(similar[number], [number, number + 1])
        ranks.append(float(np.mean(rest < step)))
    sigmas = (np.mean(ranks) - 0.5) * np.sqrt(12 * len(ranks))
    typical = float(np.median(similar[~np.eye(count, dtype=bool)]))
    step = float(np.median(steps))
    return bool(sigmas >= _MIN_SIGMAS and step >= _MIN_SIMILARITY and 1 - step <= _MAX_CHANGE * (1 - typical))
