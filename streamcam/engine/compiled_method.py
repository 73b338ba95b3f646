"""Compile model + method into frozen graphs.

A graph has a fixed input shape and computes maps and scores from uint8 images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
from ..geometry import Size
from ..methods import Method, MultiPass
from ..models.load import LoadedModel
from ..models.targets import Target
from ..tf import tf
from .compiler.freeze import freeze
from .forward_pass import ExplainRequest, ForwardPass, preprocess
from .graph.layer_info import LayerInfo
from .graph.layers import survey_layers
from .graph.tracing import quality_metric_names, stack_targets, trace
from .multi_pass import FrozenMultiPass, MultiPassExecutor, Progress, freeze_multi_pass
from .runtime.frozen_graph import FrozenGraph

TOP_K = 5
"""Number of most probable classes kept for each frame."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A compiled method, loaded on a device. Callable from several threads at a time.

    Attributes:
        first: images → classes, scores, probabilities, top classes and their probabilities, then the maps (and
            metrics) or the state that the further passes start from.
        method: the frozen method.
        precision: precision of the arithmetic; the maps are float32.
        device: name of the device.
        passes: the further passes of methods that need many.
    """

    first: Callable[..., list[Any]]
    method: FrozenMethod
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

    def __call__(self, images: RgbImage, progress: Progress | None = None) -> BatchResult:
        """Explain up to ``batch`` images, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the images.
            progress: called with passes done and passes in all, if there are many; may raise to stop.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        return self._run(self._pad(images), len(images), progress)

    def sample(self, images: RgbImage) -> NDArray[np.float32]:
        """Return a cheap output to compare precisions, float32 ``(n, …)``: the maps, or a few of many passes."""
        outputs = self.first(self._pad(images))
        if self.passes is None:
            return np.asarray(outputs[5][: len(images)])
        return self.passes.sample(outputs, len(images))

    def warm_up(self) -> None:
        """Run each graph once on black images: the first run optimises and allocates.

        Raises:
            DeviceError, ModelError: as for any run.
        """
        black = np.zeros((self.batch, self.size[1], self.size[0], 3), np.uint8)
        outputs = self.first(black)
        if self.passes is not None:
            self.passes.warm_up(outputs)

    def _pad(self, images: RgbImage) -> RgbImage:
        missing = self.batch - len(images)
        if not missing:
            return images
        return np.concatenate([images, np.broadcast_to(images[-1:], (missing, *images.shape[1:]))])

    def _run(self, images: RgbImage, count: int, progress: Progress | None) -> BatchResult:
        outputs = self.first(images)
        map_outputs = outputs[5:] if self.passes is None else self.passes(outputs, count, progress)
        maps, *metrics = (array[:count] for array in map_outputs)
        classes, scores, probabilities, best, values = (array[:count] for array in outputs[:5])
        quality_metrics = dict(zip(self.method.metric_names, metrics, strict=True))
        return BatchResult(maps, classes, scores, probabilities, best, values, quality_metrics)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenMethod:
    """A compiled method without a device; `load` makes an `Executable`.

    Attributes:
        first, passes, size, batch, layer: as in `Executable`.
        layer_summary: one line about the target layer; empty if there is none.
        native_precision: the model's own precision, which its layers keep; empty if all is float32 and can be changed.
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
    passes: FrozenMultiPass | None = None
    metric_names: tuple[str, ...] = ()
    needs_input_gradient: bool = False
    notes: tuple[str, ...] = ()

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

    def load(self, device: str, precision: str, *, xla: bool = False) -> Executable:
        """Load it on a device.

        Args:
            device: as from `resolve_devices`.
            precision: ``float32``, ``bfloat16`` or ``float16``; a model that sets its own precision keeps it.
            xla: compile it with XLA, on a GPU.
        """
        effective = self.effective_precision(precision)
        return Executable(
            first=self.first.load(device, effective, xla=xla),
            method=self,
            precision=self.native_precision or precision,
            device=device,
            passes=None if self.passes is None else self.passes.load(device, effective),
        )

    def effective_precision(self, precision: str) -> str:
        """Return the precision to rewrite graphs to: ``float32`` leaves each operation as it is."""
        return "float32" if self.native_precision else precision


def compile_method(
    loaded: LoadedModel,
    method: Method,
    *,
    layer: str,
    targets: tuple[Target, ...],
    size: Size,
    batch: int,
    passes_per_run: int = 0,
) -> FrozenMethod:
    """Trace, freeze and fold; takes seconds. The model is unchanged and is not needed afterwards.

    Args:
        loaded: a classifier.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        targets: what to explain, all from one forward pass.
        size: ``(width, height)`` of the images.
        batch: images a run.
        passes_per_run: passes a run, for methods of many; 0 is ``batch``.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        MethodError: the method cannot be used on this model.
        TargetError: a target's function fails.
        ModelError: the model cannot be run on such images.
    """
    request = ExplainRequest(loaded, method, layer, targets, size)
    traces: list[tuple[ForwardPass, list[Any]]] = []

    def run_model(images: Any) -> list[Any]:
        forward_pass = ForwardPass(request, preprocess(request, images))
        probabilities = forward_pass.head.probabilities
        best = tf.math.top_k(probabilities, k=min(TOP_K, probabilities.shape[1]))
        summary = [forward_pass.classes, forward_pass.scores, forward_pass.probabilities(), best.indices, best.values]
        results = forward_pass.results()
        traces.append((forward_pass, results))
        if isinstance(results[0], MultiPass):
            multi_passes = cast(list[MultiPass], results)
            return [
                *summary,
                *multi_passes[0].shared_state,
                *(tensor for steps in multi_passes for tensor in steps.per_target_state),
            ]
        return [*summary, *stack_targets(results)]

    traced = trace(run_model, size, tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8))
    forward_pass, results = traces[-1]
    findings = forward_pass.findings
    passes, metric_names = None, quality_metric_names(results)
    if isinstance(results[0], MultiPass):
        passes, metric_names, later = freeze_multi_pass(request, results, traced, batch, passes_per_run or batch)
        findings = findings.merge(later)
    return FrozenMethod(
        first=freeze(traced),
        size=size,
        batch=batch,
        layer=findings.layer_path or INPUT_LAYER,
        layer_summary=_summarize_layer(findings.layer_path, findings.survey.rows),
        native_precision=findings.survey.native_precision,
        passes=passes,
        metric_names=metric_names,
        needs_input_gradient=findings.needs_input_gradient,
        notes=findings.notes,
    )


def _summarize_layer(layer: str, rows: tuple[LayerInfo, ...]) -> str:
    if not layer:
        return ""
    row = next(row for row in rows if row.path == layer)
    why = f" ({row.reason.removeprefix('auto: ')})" if row.chosen else ""
    positions = f": {row.spatial_shape[1]}x{row.spatial_shape[0]} positions" if row.spatial_shape else ""
    return f"target layer {layer}{positions}{why}"


def survey_model(loaded: LoadedModel, size: Size) -> tuple[LayerInfo, ...]:
    """Return a row for each of the model's layers, without compiling anything.

    Raises:
        ModelError: the model cannot be run on images of that size.
    """
    rows: list[tuple[LayerInfo, ...]] = []

    def run_survey(images: Any) -> Any:
        model_survey = survey_layers(loaded.model, loaded.call, loaded.preprocess(tf.cast(images, tf.float32)))
        rows.append(model_survey.rows)
        return model_survey.head.logits

    trace(run_survey, size, tf.TensorSpec((1, size[1], size[0], 3), tf.uint8))
    return rows[-1]
