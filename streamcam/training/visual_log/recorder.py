"""Record the images of one stage in bounded memory."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import Images
from .evidence import FloatArray, ImageRecord, Sample, Split, StageEvidence
from .labels import NameIndex, relabel
from .words import printable

MAX_RECORDS = 4096
"""Summaries of images of a stage: 25 MB."""

MAX_SIDE = 384
"""Longest side of a sample in pixels."""

THUMBNAIL_SIDE = 32
_VALUES_PER_IMAGE = 256
_MAX_VALUES = 65_536
_MAX_SHAPES = 16
_MAX_LABELS = 10_000
_MAX_INDICES = 100


class StageRecorder:
    """Accumulate the evidence of one stage. Callable from any thread.

    Which images are kept depends on seed and position alone, so that all stages keep the same ones.

    Args:
        name: name of the stage.
        split: the data set that it belongs to.
        samples: images to keep.
        seed: of the choice.
        names: numbers class names, for all stages alike.
    """

    def __init__(self, name: str, split: Split, *, samples: int, seed: int, names: NameIndex | None = None) -> None:
        self.name, self.split = name, split
        self.names = names or NameIndex()
        self.is_single_pass = self.is_complete = True
        self.is_reference = False
        self.has_told = False
        self._num_samples, self._seed = samples, seed
        self._lock = threading.Lock()
        self._count = 0
        self._shapes: Counter[tuple[int, int, int]] = Counter()
        self._labels: Counter[int] = Counter()
        self._has_names = self._has_unusable_labels = False
        self._odd_labels = 0
        self._dtypes: Counter[str] = Counter()
        self._moments = np.zeros((3, 0))
        self._low, self._high = np.zeros(0), np.zeros(0)
        self._values = np.zeros(0, np.float32)
        self._value_step = 1
        self._not_finite, self._not_finite_indices = 0, list[int]()
        self._records: list[tuple[int, int, ImageRecord]] = []
        self._samples: list[tuple[int, int, Sample]] = []

    @property
    def count(self) -> int:
        """Images that passed."""
        return self._count

    @property
    def has_names(self) -> bool:
        """True if labels are numbers of names, see `names`."""
        return self._has_names

    def add(self, found: Images) -> None:
        """Add a batch of images, with what is known of their labels.

        Args:
            found: the batch.
        """
        labels = found.labels
        if found.names is not None:
            labels = np.array([self.names.number(name) for name in found.names], np.int64)
            self._has_names = True
        elif found.ignored and labels is None:
            self._has_unusable_labels = True
        self.record(found.images, labels, found.paths, odd_labels=found.odd_labels)

    def record(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64] | None = None,
        paths: list[str] | None = None,
        *,
        odd_labels: int = 0,
    ) -> None:
        """Add a batch of images.

        Args:
            images: ``(N, height, width, channels)``.
            labels: class index of each image; -1 for none.
            paths: file of each image.
            odd_labels: labels of the batch that are no class index.
        """
        with self._lock:
            self._odd_labels += odd_labels
            self._shapes[images.shape[1:]] += len(images)
            self._dtypes[str(images.dtype)] += len(images)
            if labels is not None:
                self._count_labels(labels)
            for number, image in enumerate(images):
                label = None if labels is None or labels[number] < 0 else int(labels[number])
                self._add(image, label, printable(paths[number]) if paths else "")
                self._count += 1

    def reset(self) -> None:
        """Forget everything, because a new pass over the data begins."""
        with self._lock:
            fresh = StageRecorder(self.name, self.split, samples=self._num_samples, seed=self._seed, names=self.names)
            for name, value in vars(fresh).items():
                if name.startswith("_") and name != "_lock":
                    setattr(self, name, value)

    def evidence(self) -> StageEvidence:
        """Return the evidence so far."""
        with self._lock:
            number, total, squares = self._moments
            mean = total / np.maximum(number, 1)
            variance = np.maximum(squares / np.maximum(number, 1) - mean**2, 0)
            evidence = StageEvidence(
                name=self.name,
                split=self.split,
                count=self._count,
                shapes=dict(self._shapes.most_common(_MAX_SHAPES)),
                dtype=self._dtypes.most_common(1)[0][0] if self._dtypes else "",
                low=self._low.copy(),
                high=self._high.copy(),
                mean=mean,
                std=np.sqrt(variance),
                values=self._values.copy(),
                not_finite=(self._not_finite, tuple(self._not_finite_indices)),
                labels=dict(sorted(self._labels.items())),
                odd_labels=self._odd_labels,
                records=sorted((one for _, _, one in self._records), key=lambda one: one.index),
                samples=sorted((one for _, _, one in self._samples), key=lambda one: one.index),
                is_single_pass=self.is_single_pass,
                is_complete=self.is_complete,
                is_reference=self.is_reference,
            )
        return relabel(evidence, None) if self._has_unusable_labels else evidence

    def _count_labels(self, labels: NDArray[np.int64]) -> None:
        for label, count in zip(*np.unique(labels[labels >= 0], return_counts=True), strict=True):
            if label in self._labels or len(self._labels) < _MAX_LABELS:
                self._labels[int(label)] += int(count)

    def _add(self, image: NDArray[Any], label: int | None, path: str) -> None:
        if not image.size:
            return
        index, channels = self._count, image.shape[2]
        if channels > self._moments.shape[1]:
            missing = channels - self._moments.shape[1]
            self._moments = np.pad(self._moments, ((0, 0), (0, missing)))
            self._low = np.pad(self._low, (0, missing), constant_values=np.inf)
            self._high = np.pad(self._high, (0, missing), constant_values=-np.inf)
        rows = image.reshape(image.shape[0], -1)  # reductions along long rows are fast
        low = rows.min(0).reshape(-1, channels).min(0).astype(np.float64)
        high = rows.max(0).reshape(-1, channels).max(0).astype(np.float64)
        finite_image = image
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            self._not_finite += 1
            if len(self._not_finite_indices) < _MAX_INDICES:
                self._not_finite_indices.append(index)
            finite = np.isfinite(image)
            if not finite.any():
                return
            finite_image = np.where(finite, image, image[finite].mean(dtype=np.float64)).astype(image.dtype)
            low = finite_image.min((0, 1)).astype(np.float64)
            high = finite_image.max((0, 1)).astype(np.float64)
        thumbnail = shrink(finite_image, THUMBNAIL_SIDE)
        small = thumbnail.reshape(-1, channels).astype(np.float64)
        spread = self._take_values(finite_image.reshape(-1, channels))
        mean = small.mean(0)
        # The variance is that of pixels: means of blocks vary less.
        moments = np.stack([np.ones(channels), mean, spread**2 + mean**2])
        self._moments[:, :channels] += len(small) * moments
        self._low[:channels] = np.minimum(self._low[:channels], low)
        self._high[:channels] = np.maximum(self._high[:channels], high)
        rank = _rank(index, self._seed)
        if self._is_kept(self._records, MAX_RECORDS, rank):
            summary = ImageRecord(
                index=index,
                shape=image.shape,
                low=float(low.min()),
                high=float(high.max()),
                mean=float(small.mean()),
                std=float(np.sqrt(np.mean(spread**2) + small.mean(0).var())),
                thumbnail=np.clip(thumbnail, -65_000, 65_000).astype(np.float16),
                label=label,
                path=path,
            )
            _push(self._records, MAX_RECORDS, rank, index, summary)
        if self._is_kept(self._samples, self._num_samples, rank):
            _push(self._samples, self._num_samples, rank, index, Sample(index, _reduce(image), label, path))

    def _take_values(self, pixels: NDArray[Any]) -> FloatArray:
        """Keep some values for the histogram; return the standard deviation of each channel."""
        step = max(1, len(pixels) // _VALUES_PER_IMAGE) | 1
        some = pixels[::step].astype(np.float64)
        if self._count % self._value_step == 0:
            self._values = np.concatenate([self._values, some.ravel().astype(np.float32)])
            if len(self._values) > _MAX_VALUES:
                self._values = self._values[::2]
                self._value_step *= 2
        spread: FloatArray = some.std(0)
        return spread

    @staticmethod
    def _is_kept(heap: list[Any], size: int, rank: int) -> bool:
        return len(heap) < size or (bool(heap) and rank < -heap[0][0])


def is_same_data(first: StageEvidence, second: StageEvidence) -> bool:
    """Return True if classes and mean of two data sets agree.

    Args:
        first: one data set.
        second: the other.
    """
    is_alike = first.count == second.count and first.labels == second.labels and first.mean.shape == second.mean.shape
    return is_alike and bool(np.all(abs(first.mean - second.mean) <= 0.01 * np.maximum(first.std, 1e-9)))


def _push(heap: list[Any], size: int, rank: int, index: int, item: Any) -> None:
    """Keep the items of the smallest ranks."""
    if len(heap) < size:
        heapq.heappush(heap, (-rank, index, item))
    else:
        heapq.heapreplace(heap, (-rank, index, item))


def _rank(index: int, seed: int) -> int:
    """Return a pseudo-random number of 64 bits: SplitMix64 of seed and index."""
    mask = 2**64 - 1
    z = (index + 1 + seed * 0x632BE59BD9B4E019) * 0x9E3779B97F4A7C15 & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def _area_means(values: NDArray[Any], target: int) -> FloatArray:
    """Average over areas along the first axis.

    A matrix product would start threads, which wait for one another on a busy machine.
    """
    size = len(values)
    if size % target == 0:
        whole_blocks: FloatArray = values.reshape(target, -1, *values.shape[1:]).mean(1, dtype=np.float32)
        return whole_blocks
    total = np.zeros((size + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, dtype=np.float64, out=total[1:])
    edges = np.linspace(0, size, target + 1)
    whole = np.minimum(edges.astype(np.intp), size - 1)
    part = (edges - whole).reshape(-1, *([1] * (values.ndim - 1)))
    at_edges = total[whole] + part * (total[whole + 1] - total[whole])
    means: FloatArray = np.diff(at_edges, axis=0) * (target / size)
    return means


def shrink(image: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Average an image over areas, to at most ``side`` pixels.

    Args:
        image: ``(height, width, channels)``.
        side: of the result, which is square if the image is not smaller.
    """
    height, width, channels = image.shape
    rows, columns = min(height, side), min(width, side)
    if (rows, columns) == (height, width):
        return image.astype(np.float32)
    reduced = _area_means(image.reshape(height, width * channels), rows).reshape(rows, width, channels)
    small = _area_means(reduced.transpose(1, 0, 2), columns).transpose(1, 0, 2)
    return small.astype(np.float32)


def _reduce(image: NDArray[Any]) -> NDArray[Any]:
    """Copy an image, reduced by a whole factor if it is large."""
    factor = -(-max(image.shape[:2]) // MAX_SIDE)
    if factor == 1:
        return image.copy()
    height, width, channels = image.shape
    rows, columns = max(1, height // factor), max(1, width // factor)
    high, wide = min(factor, height), min(factor, width)
    blocks = image[: rows * high, : columns * wide].reshape(rows, high, columns, wide, channels)
    reduced: NDArray[Any] = blocks.mean((1, 3), dtype=np.float32).astype(image.dtype)
    return reduced
