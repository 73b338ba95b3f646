"""Model + method → frozen programs with a fixed input shape, from uint8 pictures to maps and scores."""

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
"""How many of the most probable classes are kept of each frame."""

INPUT_LAYER = "input"
"""Stands for the layer where a method explains the pixels themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchResult:
    """What the kernel says of ``n`` pictures and ``t`` targets.

    Attributes:
        maps: raw evidence, float32 ``(n, t, h, w)``.
        classes: classes explained, int64 ``(n, t)``; −1 for a target that is no class.
        scores: what was explained, in logits, float32 ``(n, t)``.
        probabilities: of the classes, float32 ``(n, t)``; NaN for a target that is no class.
        top_classes, top_probabilities: int32 and float32 ``(n, up to TOP)``, best first.
        quality_metrics: what the method says of its maps' quality, float32 ``(n, t)`` each, by name.
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
    """An explanation ready to run on a device. Callable from several threads at a time.

    Attributes:
        first: images → classes, scores, probabilities, top classes and their probabilities, and then the maps (and
            figures), or what the passes begin with.
        method: what it was made from.
        precision: of the arithmetic; the maps are float32.
        device: where it runs.
        passes: the further passes of methods that need many.
    """

    first: Callable[..., list[Any]]
    method: FrozenMethod
    precision: str
    device: str
    passes: MultiPassExecutor | None = None

    @property
    def size(self) -> Size:
        """``(width, height)`` of the pictures."""
        return self.method.size

    @property
    def batch(self) -> int:
        """How many pictures each run takes; fewer are padded, so that nothing is ever traced again."""
        return self.method.batch

    @property
    def layer(self) -> str:
        """Path of the target layer, or `INPUT_LAYER`."""
        return self.method.layer

    def __call__(self, images: RgbImage, progress: Progress | None = None) -> BatchResult:
        """Explains up to ``batch`` pictures, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the pictures.
            progress: called with passes done and passes in all, where there are many; what it raises goes up.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        return self._run(self._pad(images), len(images), progress)

    def sample(self, images: RgbImage) -> NDArray[np.float32]:
        """Something cheap that tells precisions apart, float32 ``(n, …)``: the maps, or a few of many passes."""
        outputs = self.first(self._pad(images))
        if self.passes is None:
            return np.asarray(outputs[5][: len(images)])
        return self.passes.sample(outputs, len(images))

    def warm_up(self) -> None:
        """Runs each of its programs once, on black pictures: the first run is the one that optimises and allocates.

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
    """All that a `Executable` is, but for the device.

    Attributes:
        first, passes: as in `Executable`.
        size, batch, layer: likewise.
        layer_summary: the target layer in words; empty where there is none.
        native_precision: the model's own precision, which its layers keep; empty where all is float32, and can be had in another.
        metric_names: names of the figures.
        needs_input_gradient: True where gradients go all the way back to the input.
        notes: what the user should know.
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
        """True where maps are differences between the scores of many passes."""
        return self.passes is not None and not self.passes.is_mean

    @property
    def is_serializable(self) -> bool:
        """True where it can be stored."""
        graphs = (self.first,) if self.passes is None else (self.first, self.passes.step, self.passes.finish)
        return all(graph.is_serializable for graph in graphs)

    def rewrite(self, precision: str) -> FrozenMethod:
        """The same, rewritten for processors."""
        passes, precision = self.passes, self.effective_precision(precision)
        if passes is not None:
            passes = replace(passes, step=passes.step.rewrite(precision), finish=passes.finish.rewrite("float32"))
        return replace(self, first=self.first.rewrite(precision), passes=passes)

    def load(self, device: str, precision: str, *, xla: bool = False) -> Executable:
        """Makes it ready to run.

        Args:
            device: as from `resolve_devices`.
            precision: ``float32``, ``bfloat16`` or ``float16``; a model with a precision of its own keeps that.
            xla: compile it, on a graphics card.
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
        """What its programs are to be rewritten to: ``float32`` leaves each operation in the type that it has."""
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
    """Traces, freezes and folds; takes seconds. The model is left as it was and is not needed afterwards.

    Args:
        loaded: a classifier.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        targets: what to explain, all of it from one forward pass.
        size: ``(width, height)`` of the pictures.
        batch: pictures a run.
        passes_per_run: passes a run, for methods of many; 0 is ``batch``.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        MethodError: the method cannot be used on this model.
        TargetError: a target's function fails.
        ModelError: the model cannot be run on such pictures.
    """
    request = ExplainRequest(loaded, method, layer, targets, size)
    results_by_trace: list[list[Any]] = []

    def run_model(images: Any) -> list[Any]:
        forward_pass = ForwardPass(request, preprocess(request, images))
        probabilities = forward_pass.head.probabilities
        best = tf.math.top_k(probabilities, k=min(TOP_K, probabilities.shape[1]))
        summary = [forward_pass.classes, forward_pass.scores, forward_pass.probabilities(), best.indices, best.values]
        results = forward_pass.results()
        results_by_trace.append(results)
        if isinstance(results[0], MultiPass):
            multi_passes = cast(list[MultiPass], results)
            return [
                *summary,
                *multi_passes[0].shared_state,
                *(tensor for steps in multi_passes for tensor in steps.per_target_state),
            ]
        return [*summary, *stack_targets(results)]

    traced = trace(run_model, size, tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8))
    results = results_by_trace[-1]
    passes, metric_names = None, quality_metric_names(results)
    if isinstance(results[0], MultiPass):
        passes, metric_names = freeze_multi_pass(request, results, traced, batch, passes_per_run or batch)
    assert request.survey is not None
    return FrozenMethod(
        first=freeze(traced),
        size=size,
        batch=batch,
        layer=request.layer_path or INPUT_LAYER,
        layer_summary=_summarize_layer(request.layer_path, request.survey.rows),
        native_precision=request.survey.native_precision,
        passes=passes,
        metric_names=metric_names,
        needs_input_gradient=request.needs_input_gradient,
        notes=tuple(request.notes),
    )


def _summarize_layer(layer: str, rows: tuple[LayerInfo, ...]) -> str:
    if not layer:
        return ""
    row = next(row for row in rows if row.path == layer)
    why = f" ({row.reason.removeprefix('auto: ')})" if row.chosen else ""
    positions = f": {row.spatial_shape[1]}x{row.spatial_shape[0]} cells" if row.spatial_shape else ""
    return f"target layer {layer}{positions}{why}"


def survey_model(loaded: LoadedModel, size: Size) -> tuple[LayerInfo, ...]:
    """What a model's layers are good for, without compiling anything.

    Raises:
        ModelError: the model cannot be run on pictures of that size.
    """
    rows: list[tuple[LayerInfo, ...]] = []

    def run_survey(images: Any) -> Any:
        model_survey = survey_layers(loaded.model, loaded.call, loaded.preprocess(tf.cast(images, tf.float32)))
        rows.append(model_survey.rows)
        return model_survey.head.logits

    trace(run_survey, size, tf.TensorSpec((1, size[1], size[0], 3), tf.uint8))
    return rows[-1]
