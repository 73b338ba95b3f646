"""The recorded evidence: frozen values that checks and pages read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

FaultName: TypeAlias = Literal[
    "bgr", "normalized-twice", "not-normalized", "wrong-range", "nan", "constant", "duplicate", "leak", "label-shift",
    "aspect", "imbalance", "augmentation", "shortcut",
    "dark", "bright", "blurry", "odd-size", "low-information", "gray-in-color",
]  # fmt: skip
"""Names of faults. The last row comes from CleanVision alone."""

Split: TypeAlias = Literal["train", "validation"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a check found.

    Attributes:
        name: as in `FaultName`.
        stage: the first stage that shows it.
        words: the evidence and the remedy, one line.
        count: images that it concerns.
        indices: some of them, by position in the stage.
    """

    name: FaultName
    stage: str
    words: str
    count: int
    indices: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fault as values for JSON."""
        return {"name": self.name, "stage": self.stage, "words": self.words, "count": self.count}


@dataclass(frozen=True, slots=True, eq=False)
class ImageRecord:
    """A summary of one image.

    Attributes:
        index: position in the stage, from 0.
        shape: ``(height, width, channels)``.
        low, high: smallest and largest finite value.
        mean, std: over all pixels and channels.
        thumbnail: float16 ``(h, w, channels)``, at most 32x32, mean values of the pixels it covers.
        label: class index; None if there is none, or it is no single class.
        path: of its file; empty if unknown.
    """

    index: int
    shape: tuple[int, int, int]
    low: float
    high: float
    mean: float
    std: float
    thumbnail: NDArray[np.float16]
    label: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image as it passed, at most 384 pixels a side.

    Attributes:
        index: position in the stage.
        image: ``(height, width, channels)``, in the dtype of the stage.
        label: as in `ImageRecord`.
        path: of its file; empty if unknown.
    """

    index: int
    image: NDArray[Any]
    label: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class StageEvidence:
    """Everything known about one stage.

    Attributes:
        name: as given to the tap.
        split: the data set that it belongs to.
        count: images that passed.
        shapes: how often each shape occurred, most frequent first; at most 16 shapes.
        dtype: of the images.
        low, high, mean, std: of each channel over all images, finite values only.
        values: some values of each image, for histograms.
        not_finite: images with NaN or infinite values.
        labels: images of each class index, over all images.
        odd_labels: images whose label is negative, fractional, or not a class index.
        records: a summary of each image, of a seeded sample if there are many.
        samples: the sample of images.
        is_single_pass: False if images may have passed more than once.
        is_complete: False if reading stopped before the end of the data.
        is_reference: True for images from files that the pipeline did not pass on.
    """

    name: str
    split: Split
    count: int
    shapes: Mapping[tuple[int, int, int], int]
    dtype: str
    low: FloatArray
    high: FloatArray
    mean: FloatArray
    std: FloatArray
    values: FloatArray
    not_finite: tuple[int, tuple[int, ...]]
    labels: Mapping[int, int]
    odd_labels: int
    records: Sequence[ImageRecord]
    samples: Sequence[Sample]
    is_single_pass: bool = True
    is_complete: bool = True
    is_reference: bool = False

    @property
    def is_float(self) -> bool:
        """True if the images are floating-point numbers."""
        return "float" in self.dtype

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest finite value."""
        return float(self.low.min(initial=np.inf)), float(self.high.max(initial=-np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """The input that a model expects.

    Attributes:
        name: name of the model.
        low, high: of each channel, for an image from black to white.
        reason: where the values come from: ``layer rescaling``.
        is_bgr: True if channels are in the order blue, green, red.
        scales_itself: True if a layer of the model scales its input.
        is_guess: True if the model only suggests it.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    reason: str
    is_bgr: bool = False
    scales_itself: bool = False
    is_guess: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Class probabilities of a model for samples of a stage.

    Attributes:
        stage: name of the stage.
        indices: of the samples, in the order of the rows.
        probabilities: ``(N, classes)``.
        swapped: the same with red and blue exchanged; None for images of other than three channels.
    """

    stage: str
    indices: tuple[int, ...]
    probabilities: FloatArray
    swapped: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The input of all checks.

    Attributes:
        stages: in the order of the pipeline, the training data first.
        class_names: names of the classes; empty if unknown.
        num_classes: number of classes; 0 if unknown.
        expectation: of the model; None without a model, or if it is unknown.
        predictions: of the model, for some stages.
        unreadable: files that cannot be read.
    """

    stages: Sequence[StageEvidence]
    class_names: Sequence[str] = ()
    num_classes: int = 0
    expectation: Expectation | None = None
    predictions: Sequence[Predictions] = field(default=())
    unreadable: int = 0

    def of_split(self, split: Split) -> list[StageEvidence]:
        """Return the stages of a data set that have images."""
        return [stage for stage in self.stages if stage.split == split and stage.count]

    def chains(self, *, references: bool = False) -> list[list[StageEvidence]]:
        """Return the stages of each data set that has any.

        Args:
            references: include images from files that the pipeline did not pass on.
        """
        splits: tuple[Split, ...] = ("train", "validation")
        chains = [[one for one in self.of_split(split) if references or not one.is_reference] for split in splits]
        return [chain for chain in chains if chain]

    def last_stages(self) -> list[StageEvidence]:
        """Return the stage of each data set that feeds the network."""
        return [chain[-1] for chain in self.chains()]

    def first_stages(self) -> list[StageEvidence]:
        """Return the earliest stage of each data set."""
        return [chain[0] for chain in self.chains()]

    def pairs(self) -> list[tuple[StageEvidence, StageEvidence]]:
        """Return each stage with the one after it."""
        return [pair for chain in self.chains() for pair in itertools.pairwise(chain)]
