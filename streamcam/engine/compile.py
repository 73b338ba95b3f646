"""Compile model + method into frozen graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ..geometry import Size
from ..methods import Method, MultiPass
from ..models.load import LoadedModel
from ..models.targets import Target
from ..tf import tf
from .compiled_method import INPUT_LAYER, NUM_TOP_OUTPUTS, TOP_K, FrozenMethod
from .compiler.freeze import freeze
from .forward_pass import ExplainRequest, ForwardPass, TraceFindings, preprocess
from .graph.layer_info import LayerInfo
from .graph.layers import survey_layers
from .graph.tracing import map_outputs, quality_metric_names, trace
from .multi_pass import TracedMultiPass, trace_multi_pass


def compile_method(
    loaded: LoadedModel,
    method: Method,
    *,
    layer: str,
    functions: tuple[Target, ...] = (),
    by_code: bool = True,
    size: Size,
    batch: int,
    passes_per_run: int = 0,
) -> FrozenMethod:
    """Trace, freeze and fold; takes seconds. The model is unchanged and is not needed afterwards.

    Args:
        loaded: a classifier.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        functions: targets to compile in, each once.
        by_code: True to explain targets that are known at run time only, by their codes.
        size: ``(width, height)`` of the images.
        batch: images a run.
        passes_per_run: passes a run, for methods of many; 0 is ``batch``.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        MethodError: the method cannot be used on this model.
        TargetError: a target's function fails.
        ModelError: the model cannot be run on such images.
    """
    request = ExplainRequest(loaded, method, layer, functions, by_code, size)
    traced = trace_method(
        request,
        tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8),
        lambda images: preprocess(request, images),
        passes_per_run or batch,
    )
    findings = traced.findings
    return FrozenMethod(
        first=freeze(traced.first),
        size=size,
        batch=batch,
        layer=traced.layer,
        layer_summary=traced.layer_summary,
        native_precision=findings.survey.native_precision,
        num_functions=len(functions),
        passes=None if traced.passes is None else traced.passes.freeze(),
        metric_names=traced.metric_names,
        needs_input_gradient=findings.needs_input_gradient,
        notes=findings.notes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class TracedMethod:
    """A method as concrete functions, whose weights are still the model's variables.

    Attributes:
        first: images, then codes → the outputs that `FrozenMethod.first` has.
        passes: the further passes of methods that need many.
        metric_names: names of the quality metrics.
        findings: findings of all traces.
    """

    first: Any
    passes: TracedMultiPass | None
    metric_names: tuple[str, ...]
    findings: TraceFindings

    @property
    def layer(self) -> str:
        """Path of the target layer, or `INPUT_LAYER`."""
        return self.findings.layer_path or INPUT_LAYER

    @property
    def layer_summary(self) -> str:
        """One line about the target layer; empty if there is none."""
        return _summarize_layer(self.findings.layer_path, self.findings.survey.rows)


def trace_method(
    request: ExplainRequest, images_spec: Any, to_model_input: Callable[[Any], Any], passes_per_run: int
) -> TracedMethod:
    """Trace a method for a batch of images.

    Args:
        request: the model, method and targets.
        images_spec: the `tf.TensorSpec` of the images ``(N, H, W, channels)``.
        to_model_input: images → model input, float32.
        passes_per_run: passes a run, for methods of many.

    Raises:
        StreamcamError: as `compile_method`.
    """
    traces: list[tuple[ForwardPass, list[Any]]] = []

    def run_model(images: Any, codes: Any = None) -> list[Any]:
        forward_pass = ForwardPass(request, to_model_input(images), codes)
        probabilities = forward_pass.head.probabilities
        best = tf.math.top_k(probabilities, k=min(TOP_K, probabilities.shape[1]))
        results = forward_pass.results()
        traces.append((forward_pass, results))
        shared = [best.indices, best.values]
        if isinstance(results[0], MultiPass):
            multi_passes = cast(list[MultiPass], results)
            shared += multi_passes[0].shared_state
            outputs = [list(steps.per_target_state) for steps in multi_passes]
        else:
            outputs = [map_outputs(result) for result in results]
        summaries = forward_pass.summaries()
        return [*shared, *(one for pair in zip(summaries, outputs, strict=True) for part in pair for one in part)]

    batch = images_spec.shape[0]
    specifications = [images_spec, tf.TensorSpec((batch, 2), tf.int32)]
    first = trace(run_model, request.size, *specifications[: 1 + request.by_code])
    forward_pass, results = traces[-1]
    findings = forward_pass.findings
    passes, metric_names = None, quality_metric_names(results[0])
    if isinstance(results[0], MultiPass):
        passes, metric_names, later = trace_multi_pass(
            request, results, first, num_top_outputs=NUM_TOP_OUTPUTS, batch=batch, passes_per_run=passes_per_run
        )
        findings = findings.merge(later)
    return TracedMethod(first, passes, metric_names, findings)


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
