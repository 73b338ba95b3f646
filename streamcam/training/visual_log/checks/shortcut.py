"""``shortcut``: a patch of constant color at a fixed place reveals the class.

A watermark, a ruler, a colored tag: the images of a class share it, those of other classes do not. A network learns it
sooner than the object. The check compares thumbnails, so the patch needs a sixteenth of the image's side at least. It
cannot know whether the patch is the object itself, and does not find shortcuts that move or vary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..evidence import Evidence, Fault, FloatArray, StageEvidence
from .common import class_name

_MIN_IMAGES = 16
"""Fewest images of a class: by chance, no cell of so many photographs has one color."""

_TOLERANCE = 0.04
"""Largest deviation of a cell's color from that of the patch, relative to the range of values."""

_MIN_OWN = 0.7
"""Smallest share of the images of a class that have the patch."""

_MAX_OTHER = 0.2
"""Largest share of the images without the class's patch that have it too."""

_MIN_CELLS, _MAX_AREA, _MIN_FILL = 3, 0.25, 0.5
"""Fewest cells of a patch, its largest share of the image, and of its bounding box that it fills."""


class _Patch(NamedTuple):
    """Cells of one color: ``cells`` bool ``(h, w)``, and which images have it, bool ``(N,)``."""

    cells: NDArray[np.bool_]
    has: NDArray[np.bool_]


def check_shortcut(evidence: Evidence) -> Iterator[Fault]:
    """Find a constant patch that reveals the class, in each data set."""
    for chain in evidence.chains():
        if fault := next(filter(None, (_in_stage(stage, evidence) for stage in chain)), None):
            yield fault


def _in_stage(stage: StageEvidence, evidence: Evidence) -> Fault | None:
    records = [one for one in stage.records if one.label is not None and np.isfinite(one.thumbnail).all()]
    if not records:
        return None
    shape = Counter(one.thumbnail.shape for one in records).most_common(1)[0][0]
    records = [one for one in records if one.thumbnail.shape == shape]
    labels = np.array([one.label for one in records])
    classes = [int(one) for one, count in zip(*np.unique(labels, return_counts=True), strict=True)]
    frequent = [one for one in classes if (labels == one).sum() >= _MIN_IMAGES]
    if len(classes) < 2 or not frequent:
        return None
    thumbnails = np.stack([one.thumbnail for one in records]).astype(np.float32)
    low, high = np.percentile(thumbnails, (0.5, 99.5))
    found = {}
    for label in frequent:
        patch = _find_patch(thumbnails, labels, label, _TOLERANCE * float(high - low))
        if patch is not None:
            found[label] = patch
    if not found:
        return None
    label, patch = max(found.items(), key=lambda item: item[1].has.sum())
    own, others = patch.has[labels == label], patch.has[labels != label]
    more = f" ({len(found)} of {len(classes)} classes have a patch of their own)" if len(found) > 1 else ""
    return Fault(
        "shortcut",
        stage.name,
        f"{own.mean():.0%} of the images of class {class_name(evidence, label)} have the same patch "
        f"{_place(patch.cells)}, {others.mean():.0%} of the others do{more}: unless it is the object, the network "
        "learns the patch instead; remove it, or give it to all classes",
        int(sum(one.has[labels == name].sum() for name, one in found.items())),
        tuple(records[n].index for n in np.flatnonzero(patch.has & (labels == label))[:20]),
    )


def _find_patch(thumbnails: FloatArray, labels: NDArray[np.int64], label: int, tolerance: float) -> _Patch | None:
    """Return the patch that images of a class alone share."""
    color = np.median(thumbnails[labels == label], axis=0)  # (h, w, channels)
    own = (np.abs(thumbnails[labels == label] - color) <= tolerance).all(3).mean(0)
    # The background of a class, such as the black around digits, is constant too, but most of the image.
    stands_out = (np.abs(color - np.median(color, axis=(0, 1))) > tolerance).any(2)
    cells = (own >= _MIN_OWN) & stands_out
    if not cells.any() or cells.mean() > _MAX_AREA:
        return None
    close = (np.abs(thumbnails[:, cells] - color[cells]) <= tolerance).all(2)  # (N, cells)
    shares = np.stack([close[labels == one].mean(0) for one in np.unique(labels)])
    # Classes may share a patch, but some must be without it.
    without = shares < _MIN_OWN
    other = np.where(without, shares, 0).sum(0) / np.maximum(without.sum(0), 1)
    tells = without.any(0) & (other <= _MAX_OTHER)
    if tells.sum() < _MIN_CELLS:
        return None
    cells[cells] = tells
    top, bottom, left, right = _bounds(cells)
    if cells.sum() < _MIN_FILL * (bottom - top) * (right - left):
        return None
    return _Patch(cells, close[:, tells].mean(1) > 0.5)


def _bounds(cells: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the bounding box; bottom and right are exclusive."""
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _place(cells: NDArray[np.bool_]) -> str:
    """Return where the patch is: ``in the lower right corner``."""
    height, width = cells.shape
    top, bottom, left, right = _bounds(cells)
    vertical = _third((top + bottom) / 2 / height, "upper", "lower")
    horizontal = _third((left + right) / 2 / width, "left", "right")
    if vertical and horizontal:
        return f"in the {vertical} {horizontal} corner"
    if vertical or horizontal:
        return f"at the {vertical or horizontal} edge"
    return "in the middle"


def _third(position: float, low: str, high: str) -> str:
    return low if position < 1 / 3 else high if position > 2 / 3 else ""
