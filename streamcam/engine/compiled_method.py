"""A compiled method: frozen graphs that compute maps and scores from uint8 images of a fixed shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
from ..geometry import Size
from ..models.targets import FUNCTION, NO_CLASS, TOP, TargetCodes
from .multi_pass import FrozenMultiPass, MultiPassExecutor, Progress
from .runtime.frozen_graph import FrozenGraph
from .runtime.target_graph import TargetGraph

TOP_K = 5
"""Number of most probable classes kept for each frame."""

NUM_TOP_OUTPUTS = 2
"""Outputs of the first pass with the most probable classes."""

_NUM_SUMMARY_OUTPUTS = 3
"""Outputs of the first pass with class, score and probability of each target."""

INPUT_LAYER = "input"
"""Stands for the layer of methods that explain the pixels themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchResult:
    """Result for ``n`` images and ``t`` targets.

    Attributes:
        maps: raw heatmaps, float32 ``(n, t, h, w)``.
        classes: explained classes, int64 ``(n, t)``; −1 for a target that is no class.
        scores: explained scores, in logits, float32 ``(n, t)``.
        probabilities: probabilities of the classes, float32 ``(n, t)``; NaN for a target that is no class.
        top_classes, top_probabilities: int32 and float32 ``(n, up to TOP_K)``, best first.
        quality_metrics: the method's quality metrics of its maps, float32 ``(n, t)`` each, by name.
    """

    maps: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top_classes: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]
    quality_metrics: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class MethodProperties(Protocol):
    """Properties of the method behind an `Executable`; see `FrozenMethod`."""

    @property
    def size(self) -> Size:
        """``(width, height)`` of the images."""
        ...

    @property
    def batch(self) -> int:
        """Images a run."""
        ...

    @property
    def layer(self) -> str:
        """Path of the target layer, or `INPUT_LAYER`."""
        ...

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the quality metrics."""
        ...

    @property
    def codes(self) -> TargetCodes:
        """Codes for a run that names none, ``(targets, 2)``."""
        ...

    @property
    def needs_input_gradient(self) -> bool:
        """True if gradients go all the way back to the input."""
        ...

    @property
    def is_score_difference(self) -> bool:
        """True if maps are differences between the scores of many passes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A compiled method, loaded on a device. Callable from several threads at a time.

    Attributes:
        first: codes and images → top classes, their probabilities and the state that further passes share; and for each
            target class, score, probability, then the maps (and metrics) or its own state. See `TargetGraph`.
        method: the compiled method.
        precision: precision of the arithmetic; the maps are float32.
        device: name of the device.
        passes: the further passes of methods that need many.
    """

    first: Callable[..., tuple[list[Any], list[list[Any]]]]
    method: MethodProperties
    precision: str
    device: str
    passes: MultiPassExecutor | None = None

    @property
    def size(self) -> Size:
        """``(width, height)`` of the images."""
        return self.method.size

    @property
    def batch(self) -> int:
        """Number of images a run takes; fewer are padded, so that the graph is traced only once."""
        return self.method.batch

    @property
    def layer(self) -> str:
        """Path of the target layer, or `INPUT_LAYER`."""
        return self.method.layer

    def __call__(
        self, images: RgbImage, codes: TargetCodes | None = None, progress: Progress | None = None
    ) -> BatchResult:
        """Explain up to ``batch`` images.

        Args:
            images: ``uint8 (n, height, width, 3)`` RGB; for a `VariableMethod` the model input.
            codes: the targets, ``(targets, 2)``, or those of each image, ``(n, targets, 2)``; None takes those of the
                compiled method.
            progress: called with passes done and passes in all, if there are many; may raise to stop.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        count = len(images)
        batch_codes = self._batch_codes(codes)
        shared, per_target = self.first(batch_codes, self._pad(images))
        summaries = [outputs[:_NUM_SUMMARY_OUTPUTS] for outputs in per_target]
        results = [outputs[_NUM_SUMMARY_OUTPUTS:] for outputs in per_target]
        if self.passes is not None:
            results = self.passes(
                _resolve_top(batch_codes, summaries), shared[NUM_TOP_OUTPUTS:], results, count, progress
            )
        classes, scores, probabilities = (_stack(arrays, count) for arrays in zip(*summaries, strict=True))
        maps, *metrics = (_stack(arrays, count) for arrays in zip(*results, strict=True))
        quality_metrics = dict(zip(self.method.metric_names, metrics, strict=True))
        best, values = (array[:count] for array in shared[:NUM_TOP_OUTPUTS])
        return BatchResult(maps, classes, scores, probabilities, best, values, quality_metrics)

    def sample(self, images: RgbImage) -> NDArray[np.float32]:
        """Return a cheap output to compare precisions, float32 ``(n, …)``: the maps, or a few of many passes."""
        codes = self._batch_codes(None)
        shared, per_target = self.first(codes, self._pad(images))
        if self.passes is None:
            return _stack([outputs[_NUM_SUMMARY_OUTPUTS] for outputs in per_target], len(images))
        return self.passes.sample(_resolve_top(codes, per_target), shared[NUM_TOP_OUTPUTS:], len(images))

    def warm_up(self) -> None:
        """Run each graph once on black images: the first run optimises and allocates.

        Raises:
            DeviceError, ModelError: as for any run.
        """
        black = np.zeros((self.batch, self.size[1], self.size[0], 3), np.uint8)
        codes = self._batch_codes(None)
        shared, per_target = self.first(codes, black)
        if self.passes is not None:
            self.passes.warm_up(_resolve_top(codes, per_target), shared[NUM_TOP_OUTPUTS:])

    def _pad(self, images: RgbImage) -> RgbImage:
        missing = self.batch - len(images)
        if not missing:
            return images
        return np.concatenate([images, np.broadcast_to(images[-1:], (missing, *images.shape[1:]))])

    def _batch_codes(self, codes: TargetCodes | None) -> TargetCodes:
        """Return codes for each image of a whole batch, ``(batch, targets, 2)``."""
        given = self.method.codes if codes is None else codes
        if given.ndim == 2:
            return np.broadcast_to(given, (self.batch, *given.shape))
        return np.pad(given, ((0, self.batch - len(given)), (0, 0), (0, 0)), mode="edge")


def _resolve_top(codes: TargetCodes, summaries: list[list[Any]]) -> TargetCodes:
    """Return codes with the class in place of `TOP`.

    Further passes explain the class of the first one.
    """
    classes = np.stack([summary[0] for summary in summaries], axis=1)
    return np.stack([np.where(codes[..., 0] == TOP, classes, codes[..., 0]), codes[..., 1]], axis=2).astype(np.int32)


def _stack(arrays: Sequence[NDArray[Any]], count: int) -> NDArray[Any]:
    """Stack the first rows of arrays along a second axis.

    A single array is not copied.
    """
    return arrays[0][:count, None] if len(arrays) == 1 else np.stack([array[:count] for array in arrays], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenMethod:
    """A compiled method without a device; `load` makes an `Executable`.

    Attributes:
        first, passes, size, batch, layer: as in `Executable`.
        layer_summary: one line about the target layer; empty if there is none.
        native_precision: the model's own precision, which its layers keep; empty if all is float32 and can be changed.
        num_functions: number of targets that are functions, which are compiled in; such a method is not cached.
        metric_names: names of the quality metrics.
        needs_input_gradient: True if gradients go all the way back to the input.
        notes: one-line announcements for the user.
    """

    first: FrozenGraph
    size: Size
    batch: int
    layer: str
    layer_summary: str
    native_precision: str
    num_functions: int = 0
    passes: FrozenMultiPass | None = None
    metric_names: tuple[str, ...] = ()
    needs_input_gradient: bool = False
    notes: tuple[str, ...] = ()

    @property
    def by_code(self) -> bool:
        """True if it explains targets that are known at run time only."""
        return len(self.first.inputs) > 1

    @property
    def codes(self) -> TargetCodes:
        """Codes for a run that names none, ``(targets, 2)``: the most probable class and each function."""
        targets = [TOP] * self.by_code + [FUNCTION - n for n in range(self.num_functions)]
        return np.array([(target, NO_CLASS) for target in targets], np.int32)

    @property
    def is_score_difference(self) -> bool:
        """True if maps are differences between the scores of many passes."""
        return self.passes is not None and not self.passes.is_mean

    @property
    def is_serializable(self) -> bool:
        """True if it can be cached."""
        graphs = (self.first,) if self.passes is None else (self.first, self.passes.step, self.passes.finish)
        return all(graph.is_serializable for graph in graphs)

    def rewrite(self, precision: str) -> FrozenMethod:
        """Return the method with its graphs rewritten for CPUs, in a precision."""
        passes, precision = self.passes, self.effective_precision(precision)
        if passes is not None:
            passes = replace(passes, step=passes.step.rewrite(precision), finish=passes.finish.rewrite("float32"))
        return replace(self, first=self.first.rewrite(precision), passes=passes)

    def load(self, device: str, precision: str, *, xla: bool = False, threads_yield: bool = True) -> Executable:
        """Load it on a device.

        Args:
            device: as from `resolve_devices`.
            precision: ``float32``, ``bfloat16`` or ``float16``; a model that sets its own precision keeps it.
            xla: as for `FrozenGraph.load`.
            threads_yield: run its CPU threads at a lower priority than the others of the process.
        """
        effective = self.effective_precision(precision)
        shared: Any = {
            "num_functions": self.num_functions,
            "by_code": self.by_code,
            "threads_yield": threads_yield,
        }
        num_shared = NUM_TOP_OUTPUTS + (self.passes.num_state_tensors if self.passes else 0)
        return Executable(
            first=TargetGraph(self.first, device, effective, num_shared=num_shared, xla=xla, **shared),
            method=self,
            precision=self.native_precision or precision,
            device=device,
            passes=None if self.passes is None else self.passes.load(device, effective, **shared),
        )

    def effective_precision(self, precision: str) -> str:
        """Return the precision to rewrite graphs to: ``float32`` leaves each operation as it is."""
        return "float32" if self.native_precision else precision
