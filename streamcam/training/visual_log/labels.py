"""Find the classes in labels: indices, one-hot vectors or names."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import count_of
from .evidence import StageEvidence

_CLASS_KEYS = ("label", "class", "cls", "target", "category", "y")
_SUM_TOLERANCE = 0.05
_MOST_INDEX = 2.0**63
_MAX_NAMES = 10_000


class NameIndex:
    """Number class names in the order in which they appear. Callable from any thread."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def number(self, name: str) -> int:
        """Return the number of a name; -1 for a new one if there are too many.

        Args:
            name: of the class.
        """
        with self._lock:
            if name not in self._numbers and len(self._numbers) >= _MAX_NAMES:
                return -1
            return self._numbers.setdefault(name, len(self._numbers))

    def all(self) -> dict[str, int]:
        """Return the numbers of all names."""
        with self._lock:
            return dict(self._numbers)


def relabel(stage: StageEvidence, indices: Mapping[int, int] | None) -> StageEvidence:
    """Return a stage with other labels.

    Args:
        stage: the stage.
        indices: the new class index of each label; labels without become none; None removes all.
    """
    indices = indices or {}
    labels: Counter[int] = Counter()
    for label, count in stage.labels.items():
        if label in indices:
            labels[indices[label]] += count

    def new(label: int | None) -> int | None:
        return None if label is None else indices.get(label)

    return replace(
        stage,
        labels=dict(sorted(labels.items())),
        odd_labels=stage.odd_labels if indices else 0,
        records=[replace(one, label=new(one.label)) for one in stage.records],
        samples=[replace(one, label=new(one.label)) for one in stage.samples],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The classes of a batch.

    Attributes:
        indices: int64, -1 for none; None if there are none, or names instead.
        names: class names; None if there are none.
        num_odd: labels that are negative, or no whole number.
        ignored: why labels are not used; empty if they are.
    """

    indices: NDArray[np.int64] | None = None
    names: list[str] | None = None
    num_odd: int = 0
    ignored: str = ""


def read_labels(label: NDArray[Any] | Mapping[str, NDArray[Any]], count: int) -> Labels:
    """Return the classes of a batch.

    Args:
        label: an index, a name, or a one-hot vector, also smoothed; or one for each image; or several kinds by name,
            of which the first that is a class counts.
        count: number of images.
    """
    if isinstance(label, Mapping):
        return _read_mapping(label, count)
    if label.size == count and label.dtype.kind in "USO":
        values = label.reshape(-1).tolist()
        if all(isinstance(one, (str, bytes)) for one in values):
            texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values]
            return Labels(names=texts)
    if label.dtype.kind not in "uifb":
        return Labels(ignored=f"labels of {label.dtype} with shape {label.shape}")
    if label.size == count:
        return _read_indices(label.reshape(-1))
    is_vectors = label.ndim == 2 and len(label) == count
    if not is_vectors and not (label.ndim == 1 and count == 1):
        kind = "labels that are images" if label.ndim >= 2 else "labels"
        return Labels(ignored=f"{kind}, with shape {label.shape} for {count_of(count, 'image')}")
    return _read_vectors(label.reshape(count, -1).astype(np.float64))


def _read_indices(label: NDArray[Any]) -> Labels:
    values = label.astype(np.float64)
    is_index = np.isfinite(values) & (values == np.round(values)) & (values >= 0) & (values < _MOST_INDEX)
    indices = np.where(is_index, label, 0).astype(np.int64)
    return Labels(np.where(is_index, indices, -1), num_odd=int((~is_index).sum()))


def _read_vectors(rows: NDArray[np.float64]) -> Labels:
    """Read one-hot vectors; a mixture of classes is none, and a vector of zeros too."""
    total = rows.sum(1)
    is_distribution = (abs(total - 1) <= _SUM_TOLERANCE) & (rows.min(1) >= -1e-3)
    if not (is_distribution | ~rows.any(1)).all():
        return Labels(ignored=f"labels of {rows.shape[1]} values that are not one class: several classes, or numbers")
    ordered = np.sort(rows, axis=1)
    is_one_hot = (ordered[:, -1] > 0.6) & (ordered[:, -2] < 0.3)
    return Labels(np.where(is_one_hot, rows.argmax(1), -1).astype(np.int64))


def _read_mapping(labels: Mapping[str, NDArray[Any]], count: int) -> Labels:
    ordered = sorted(labels, key=lambda name: name.casefold() not in _CLASS_KEYS)
    for name in ordered:
        found = read_labels(labels[name], count)
        is_whole = found.indices is not None and (found.indices >= 0).any()
        if is_whole or found.names is not None:
            others = [other for other in labels if other != name]
            return replace(found, ignored=f"labels {', '.join(others)}, beside {name}" if others else "")
    return Labels(ignored=f"labels {', '.join(labels)}: none is a class")
