"""The interface of loggers, and the values that they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError, StreamcamError
from ...frames import MapKind, RgbImage


@runtime_checkable
class ImageLogger(Protocol):
    """The least that a logger has: one call an image. It may also have ``log_scalar(key, value, step)``."""

    def log_image(self, key: str, image: RgbImage, step: int) -> object:
        """Log an image.

        Args:
            key: such as ``gradcam/image/3``.
            image: ``uint8 (H, W, 3)`` RGB.
            step: epochs or batches trained before it.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RunInfo:
    """The validation images of a run, and how they are explained.

    Attributes:
        model: name of the model.
        methods: names of the methods.
        labels: names of the model's classes.
        images: the validation images, ``uint8 (N, H, W, 3)`` RGB.
        expected: the class of each image; empty if the data has no labels.
        every: ``epoch``, or the number of batches between two explanations.
    """

    model: str
    methods: tuple[str, ...]
    labels: tuple[str, ...]
    images: NDArray[np.uint8]
    expected: tuple[str, ...]
    every: str | int


@dataclass(frozen=True, slots=True, eq=False)
class MapRecord:
    """One explanation of all images by one method and for one target.

    Attributes:
        key: start of its keys: the method, and the target if there are several.
        method: name of the method.
        layer: path of the target layer.
        map_kind: how its maps are drawn.
        step: epochs or batches trained before it.
        epoch: epochs trained before it, with a fraction within an epoch.
        maps: raw, float32 ``(N, h, w)``.
        vmax: attribution drawn at full strength.
        targets: name of the explained class of each image.
        predicted: the most probable class of each image.
        probabilities: its probability.
        statistics: values of each image, by name; NaN if there is none.
    """

    key: str
    method: str
    layer: str
    map_kind: MapKind
    step: int
    epoch: float
    maps: NDArray[np.float32]
    vmax: float
    targets: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: tuple[float, ...]
    statistics: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a log that is continued.

    Attributes:
        epochs: epochs that it covers.
        steps: that it has explanations of.
        steps_by_epoch: the step at the end of each epoch.
        vmax: last scale of each method, by name.
    """

    epochs: int = 0
    steps: frozenset[int] = frozenset()
    steps_by_epoch: Mapping[int, int] = field(default_factory=dict)
    vmax: Mapping[str, float] = field(default_factory=dict)

    @property
    def last_step(self) -> int:
        """The largest step of an explanation; 0 without one."""
        return max(self.steps, default=0)


class RunLogger:
    """A logger of whole runs.

    Each method does nothing unless a logger needs it. The callback catches the exceptions of all but `begin`.
    """

    def begin(self, run: RunInfo) -> None:
        """Open the log, before the first batch of each ``fit``.

        Raises:
            StreamcamError: it cannot be opened.
        """

    def progress(self) -> Progress:
        """Return the state of a log that exists already."""
        return Progress()

    def resume(self, epoch: int, step: int) -> None:
        """Go on from an earlier step than the last of the log: later entries are void."""

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Log an image; see `ImageLogger`."""

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Log a number."""

    def log_maps(self, record: MapRecord) -> None:
        """Log raw maps."""

    def log_epoch(self, epoch: int, step: int, logs: Mapping[str, float]) -> None:
        """Log the numbers that Keras reports after an epoch, such as ``loss``."""

    def flush(self) -> None:
        """Write what one explanation has logged."""

    def end(self) -> None:
        """Close the log, after the last batch of each ``fit``."""


class ObjectLogger(RunLogger):
    """Passes images, and numbers if it takes them, to an object."""

    def __init__(self, target: Any) -> None:
        self._target = target
        if callable(log_scalar := getattr(target, "log_scalar", None)):
            self.log_scalar = log_scalar  # type: ignore[method-assign]
        self.name = type(target).__name__

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Pass on a copy, which the object may change."""
        self._target.log_image(key, image.copy(), step)


def require_package(package: str, name: str) -> None:
    """Check that the package of a logger is installed.

    Raises:
        StreamcamError: it is not.
    """
    if find_spec(package) is None:
        raise StreamcamError(f"the logger {name} needs {package}", hint=f"pip install 'streamcam[{name}]'")


def require_folder(folder: str, name: str) -> str:
    """Return the folder of a logger.

    Raises:
        OptionError: it is empty.
    """
    if not folder:
        raise OptionError(f"the logger {name} has no folder", expected=f"{name}:DIR")
    return folder


def refuse_argument(argument: str, name: str) -> None:
    """Check that a logger was given no argument.

    Raises:
        OptionError: it was.
    """
    if argument:
        raise OptionError(f"unknown logger '{name}:{argument}'", expected=name)
