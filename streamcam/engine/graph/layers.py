"""Survey the layers of a model: trace it once and decide from the graph which layers can be explained."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...tf import tf
from .layer_choice import NOT_BATCH_AXIS, POOLING, PRODUCTS, auto_reason, choose_auto_layer
from .layer_info import FeatureMap, LayerInfo, LayerOutput
from .layer_trace import LayerCall, ancestors, descendants, layer_paths, record_layer_calls
from .logits import Head, find_logits, probe_output
from .spatial import SpatialTensors
from .vit_tokens import patch_token_offset

_PREPROCESSING = ("Pad", "PadV2", "MirrorPad", "RealDiv", "Sub", "Rsqrt")
"""Operations of preprocessing and batch norm, not listed for a SavedModel: it has many feature maps without them."""

_UNCHANGED = ("Identity", "Cast", "StopGradient", "CheckNumerics")


@dataclass(frozen=True, slots=True, eq=False)
class ModelSurvey:
    """The result of tracing one call of a model.

    Attributes:
        head: logits and probabilities.
        rows: a row for every layer that returns a tensor, in call order.
        feature_maps: the output of every usable layer, by path.
        native_precision: dtype of most matrix products and convolutions, such as ``bfloat16``; empty if all are
            float32.
    """

    head: Head
    rows: tuple[LayerInfo, ...]
    feature_maps: dict[str, FeatureMap]
    native_precision: str


def survey_layers(model: Any, call: Callable[[Any], Any], images: Any) -> ModelSurvey:
    """Trace a model once and survey its layers; call this while a graph is under construction.

    Args:
        model: a Keras model.
        call: runs the model on a batch of images.
        images: symbolic model input ``(N, H, W, 3)``.

    Raises:
        ModelError: the model's output is not that of a classifier.
    """
    paths = layer_paths(model)
    first_operation = len(images.graph.get_operations())
    with record_layer_calls(paths) as calls:
        output = call(images)
    model_operations = images.graph.get_operations()[first_operation:]
    head = find_logits(output, lambda: probe_output(model, call, images))
    before, after = ancestors(head.logits), descendants(images)
    spatial = SpatialTensors(images, after)
    layer_outputs = [
        LayerOutput(path, type(paths[one.path]).__name__, one.output)
        for path, one in _unique_paths(calls)
        if tf.is_tensor(one.output)
    ]
    layer_outputs += _unreturned_feature_maps(calls, model_operations, first_operation, before & after, spatial)
    spatial_shapes: list[tuple[int, int]] = []
    for one in layer_outputs:
        _judge(one, images, before, after, spatial, spatial_shapes)
    auto_layer = choose_auto_layer(layer_outputs, images, head.logits, after, spatial)
    rows = tuple(
        LayerInfo(
            path=one.path,
            kind=one.kind,
            shape=tuple(one.tensor.shape[1:]),
            spatial_shape=(one.feature_map.rows, one.feature_map.columns) if one.feature_map else None,
            usable=one.feature_map is not None,
            chosen=one is auto_layer,
            reason=auto_reason(one) if one is auto_layer else one.reason,
        )
        for one in layer_outputs
    )
    feature_maps = {one.path: one.feature_map for one in layer_outputs if one.feature_map is not None}
    return ModelSurvey(head, rows, feature_maps, _native_precision(images.graph, before & after))


def _native_precision(graph: Any, between: set[str]) -> str:
    """Return the dtype of most products between images and logits; empty if all are float32."""
    products = (one.outputs[0] for one in graph.get_operations() if one.type in PRODUCTS)
    kinds = Counter(str(one.dtype.name) for one in products if one.dtype.is_floating and one.name in between)
    return kinds.most_common(1)[0][0] if kinds.keys() - {"float32"} else ""


def _unique_paths(calls: list[LayerCall]) -> list[tuple[str, LayerCall]]:
    """Give each call a unique path: the last call of a shared layer keeps its path, earlier ones get ``path#1``, …."""
    times = Counter(call.path for call in calls)
    seen: Counter[str] = Counter()
    calls_by_path = []
    for call in calls:
        seen[call.path] += 1
        last = seen[call.path] == times[call.path]
        calls_by_path.append((call.path if last else f"{call.path}#{seen[call.path]}", call))
    return calls_by_path


def _unreturned_feature_maps(
    calls: list[LayerCall], operations: list[Any], first_operation: int, between: set[str], spatial: SpatialTensors
) -> list[LayerOutput]:
    """Return the feature maps that no layer returns.

    A ``call`` method may go on after its last layer, for example with ``tf.nn.relu``: the last such feature map is
    named after its operation, ``relu``. Operations inside a leaf layer are internal to that layer. A model without
    layers (a SavedModel) has only such feature maps, by operation name. Only operations from ``first_operation`` on
    count, those of the model: the operations that compute its input differ between the passes of a multi-pass method.
    """
    feature_maps = [
        (number, operation)
        for number, operation in enumerate(operations, first_operation)
        if operation.type not in (*_UNCHANGED, "Placeholder")
        and len(operation.outputs) == 1
        and operation.outputs[0].name in between
        and operation.outputs[0].dtype.is_floating
        and operation.outputs[0] in spatial
    ]
    if not calls:
        names = [operation.name.split("/") for _, operation in feature_maps]
        folders = zip(*(name[:-1] for name in names), strict=False)
        shared = sum(itertools.takewhile(bool, (len(set(parts)) == 1 for parts in folders)))
        return [
            LayerOutput("/".join(name[shared:]), operation.type, operation.outputs[0])
            for name, (_, operation) in zip(names, feature_maps, strict=True)
            if operation.type not in _PREPROCESSING
        ]
    returned = {call.output.name for call in calls if tf.is_tensor(call.output)}
    leaves = [one for one in calls if not any(one.encloses(other) for other in calls)]
    inside = {number for leaf in leaves for number in range(leaf.first_operation, leaf.last_operation)}
    for number, operation in reversed(feature_maps):
        if operation.type in POOLING:
            continue
        if number in inside or operation.outputs[0].name in returned:
            break
        path = operation.type.lower()
        while any(call.path == path for call in calls):
            path += "'"
        return [LayerOutput(path, operation.type, operation.outputs[0])]
    return []


def _judge(
    one: LayerOutput,
    images: Any,
    before: set[str],
    after: set[str],
    spatial: SpatialTensors,
    spatial_shapes: list[tuple[int, int]],
) -> None:
    """Set the feature map of an output, or the reason for none."""
    tensor = one.tensor
    if tensor.graph is not images.graph:
        one.reason = "runs inside its own tf.function"
    elif tensor.name not in after:
        one.reason = "does not depend on the image"
    elif tensor.shape.rank not in (3, 4):
        one.reason = "no feature map: after the pooling" if tensor.shape.rank == 2 else "no feature map"
    elif None in tensor.shape[1:]:
        one.reason = "no fixed size"
    elif (axis_reason := _first_axis_reason(tensor, images)) is not None:
        one.reason = axis_reason
        return
    elif tensor.shape.rank == 3:
        _judge_tokens(one, before, after, spatial_shapes, images.shape[0])
    elif tensor.shape[1] == 1 and tensor.shape[2] == 1:
        one.reason = "a single position: after the pooling"
    elif tensor.name not in before:
        one.reason = "the logits do not depend on it"
    else:
        one.feature_map = FeatureMap(tensor, tensor.shape[1], tensor.shape[2], batch_size=images.shape[0])
    if tensor in spatial:
        spatial_shapes.append((tensor.shape[1], tensor.shape[2]))


def _first_axis_reason(tensor: Any, images: Any) -> str | None:
    """Describe the first axis if it is not the batch; None if it is."""
    length, batch_size = tensor.shape[0], images.shape[0]
    if length is None or batch_size is None or length == batch_size:
        return None
    if length % batch_size:
        return f"{NOT_BATCH_AXIS} {length} for {batch_size} images"
    return f"{NOT_BATCH_AXIS} {length // batch_size} for each image: crops, views or windows"


def _judge_tokens(
    one: LayerOutput, before: set[str], after: set[str], spatial_shapes: list[tuple[int, int]], batch_size: int | None
) -> None:
    """Map tokens back to the last feature map with as many positions.

    Extra tokens (such as a class token) are allowed and come first, unless the graph shows another offset.
    """
    tokens = one.tensor.shape[1]
    for num_extra_tokens in (0, 1, 2, 5):
        for rows, columns in reversed(spatial_shapes):
            if rows * columns + num_extra_tokens == tokens:
                if one.tensor.name not in before:
                    one.reason = "the logits do not depend on it"
                    return
                token_offset = patch_token_offset(one.tensor, rows * columns, after)
                one.feature_map = FeatureMap(
                    one.tensor, rows, columns, num_extra_tokens if token_offset is None else token_offset, batch_size
                )
                return
    one.reason = f"{tokens} tokens, and no feature map before them has as many positions"
