"""Which layers can be explained, and which one ``--layer auto`` takes, read off the graph that really runs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import LayerError, did_you_mean
from ...geometry import Size
from ...tf import tf
from .layer_trace import LayerCall, ancestors, descendants, layer_paths, record_layer_calls
from .logits import Head, find_logits, probe_output
from .spatial import SpatialTensors
from .vit_tokens import patch_token_offset

_POOLING = ("MaxPool", "AvgPool")
_PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum")
_PREPROCESSING = ("Pad", "PadV2", "MirrorPad", "RealDiv", "Sub", "Rsqrt")
"""Operations of preprocessing and of batch norm's inside: a SavedModel's grids are many enough without them."""

_NOT_THE_BATCH = "its first axis holds"

_UNCHANGED = ("Identity", "Cast", "StopGradient", "CheckNumerics")


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A row of `streamcam layers`.

    Attributes:
        path: the layer's name, ``outer/inner`` inside a nested model; accepted by ``--layer``.
        kind: class of the layer.
        shape: of its output without the batch axis; None where it is not fixed.
        spatial_shape: rows and columns of its cells, None where it has none; tokens are put back on theirs.
        usable: True where it can be explained: a grid of more than one cell that the logit depends on.
        chosen: True for the one that ``--layer auto`` takes.
        reason: why it is or is not usable, in a few words.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    spatial_shape: tuple[int, int] | None
    usable: bool
    chosen: bool
    reason: str

    def stride(self, size: Size) -> tuple[int, int] | None:
        """Input pixels a cell, ``(down, across)``, for an input of ``(width, height)``; None where there is no grid."""
        return (
            (round(size[1] / self.spatial_shape[0]), round(size[0] / self.spatial_shape[1]))
            if self.spatial_shape
            else None
        )


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """What a usable layer returned.

    Attributes:
        tensor: ``(N, h, w, K)``, or tokens ``(N, h·w and more, K)``, row by row.
        rows, columns: h and w.
        token_offset: tokens before those of the picture, such as a class token.
        batch_size: N; None where it is not known.
    """

    tensor: Any
    rows: int
    columns: int
    token_offset: int = 0
    batch_size: int | None = None

    @property
    def num_extra_tokens(self) -> int:
        """Tokens that are not the picture's, such as a class token."""
        return 0 if self.tensor.shape.rank == 4 else int(self.tensor.shape[1]) - self.rows * self.columns

    def to_nhwc(self, tensor: Any) -> Any:
        """A tensor of the layer's shape as float32 ``(N, h, w, K)``."""
        tensor = tf.cast(tensor, tf.float32)
        if tensor.shape[0] is None:
            # Known only when it runs: it then fails sooner than that pictures get each other's maps.
            tensor = tf.ensure_shape(tensor, (self.batch_size, *tensor.shape[1:]), name="one_row_a_picture")
        if self.tensor.shape.rank == 4:
            return tensor
        patches = tensor[:, self.token_offset : self.token_offset + self.rows * self.columns]
        return tf.reshape(patches, (-1, self.rows, self.columns, tensor.shape[2]))


@dataclass(frozen=True, slots=True, eq=False)
class ModelSurvey:
    """What one traced call of a model showed.

    Attributes:
        head: its logits and probabilities.
        rows: a row for every layer that returned a tensor, in the order of the calls.
        feature_maps: the output of every usable layer, by path.
        native_precision: the precision that most of its products are in, such as ``bfloat16``, where they are not all in float32;
            empty where they are.
    """

    head: Head
    rows: tuple[LayerInfo, ...]
    feature_maps: dict[str, FeatureMap]
    native_precision: str


@dataclass(slots=True, eq=False)
class _LayerOutput:
    """An output of a layer on its way to a row."""

    path: str
    kind: str
    tensor: Any
    feature_map: FeatureMap | None = None
    reason: str = ""


def survey_layers(model: Any, call: Callable[[Any], Any], images: Any) -> ModelSurvey:
    """Runs a model once on symbolic pictures and tells what every layer is good for.

    Args:
        model: a Keras model.
        call: runs it on pictures.
        images: symbolic model input, ``(N, H, W, 3)``; call this while a graph is being built.

    Raises:
        ModelError: the model's output is not a classifier's.
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
        _LayerOutput(path, type(paths[one.path]).__name__, one.output)
        for path, one in _unique_paths(calls)
        if tf.is_tensor(one.output)
    ]
    layer_outputs += _unreturned_feature_maps(calls, model_operations, first_operation, before & after, spatial)
    spatial_shapes: list[tuple[int, int]] = []
    for one in layer_outputs:
        _judge(one, images, before, after, spatial, spatial_shapes)
    auto_layer = _choose_auto_layer(layer_outputs, images, head.logits, after, spatial)
    rows = tuple(
        LayerInfo(
            path=one.path,
            kind=one.kind,
            shape=tuple(one.tensor.shape[1:]),
            spatial_shape=(one.feature_map.rows, one.feature_map.columns) if one.feature_map else None,
            usable=one.feature_map is not None,
            chosen=one is auto_layer,
            reason=_auto_reason(one) if one is auto_layer else one.reason,
        )
        for one in layer_outputs
    )
    feature_maps = {one.path: one.feature_map for one in layer_outputs if one.feature_map is not None}
    return ModelSurvey(head, rows, feature_maps, _native_precision(images.graph, before & after))


def _native_precision(graph: Any, between: set[str]) -> str:
    products = (one.outputs[0] for one in graph.get_operations() if one.type in _PRODUCTS)
    kinds = Counter(str(one.dtype.name) for one in products if one.dtype.is_floating and one.name in between)
    return kinds.most_common(1)[0][0] if kinds.keys() - {"float32"} else ""


def _unique_paths(calls: list[LayerCall]) -> list[tuple[str, LayerCall]]:
    """Each call by a name of its own: the last of a shared layer by its path, those before as ``path#1`` …"""
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
) -> list[_LayerOutput]:
    """Grids that no layer returns.

    A ``call`` written in Python may compute on behind its last layer, with a ReLU of its own say: the last such grid
    goes by its operation, ``relu``. Operations inside a layer that calls no other are that layer's affair. A model
    without layers (a SavedModel) has all its grids here, by the names of their operations: the model's own, numbered
    from ``first_operation`` on, since what makes the pictures is another thing in every pass of a method of many.
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
            _LayerOutput("/".join(name[shared:]), operation.type, operation.outputs[0])
            for name, (_, operation) in zip(names, feature_maps, strict=True)
            if operation.type not in _PREPROCESSING
        ]
    returned = {call.output.name for call in calls if tf.is_tensor(call.output)}
    leaves = [one for one in calls if not any(one.encloses(other) for other in calls)]
    inside = {number for leaf in leaves for number in range(leaf.first_operation, leaf.last_operation)}
    for number, operation in reversed(feature_maps):
        if operation.type in _POOLING:
            continue
        if number in inside or operation.outputs[0].name in returned:
            break
        path = operation.type.lower()
        while any(call.path == path for call in calls):
            path += "'"
        return [_LayerOutput(path, operation.type, operation.outputs[0])]
    return []


def _judge(
    one: _LayerOutput,
    images: Any,
    before: set[str],
    after: set[str],
    spatial: SpatialTensors,
    spatial_shapes: list[tuple[int, int]],
) -> None:
    tensor = one.tensor
    if tensor.graph is not images.graph:
        one.reason = "runs inside a function of its own"
    elif tensor.name not in after:
        one.reason = "does not depend on the picture"
    elif tensor.shape.rank not in (3, 4):
        one.reason = "no grid: after the pooling" if tensor.shape.rank == 2 else "no grid"
    elif None in tensor.shape[1:]:
        one.reason = "no fixed size"
    elif (axis_reason := _first_axis_reason(tensor, images)) is not None:
        one.reason = axis_reason
        return
    elif tensor.shape.rank == 3:
        _judge_tokens(one, before, after, spatial_shapes, images.shape[0])
    elif tensor.shape[1] == 1 and tensor.shape[2] == 1:
        one.reason = "a single cell: after the pooling"
    elif tensor.name not in before:
        one.reason = "the logits do not depend on it"
    else:
        one.feature_map = FeatureMap(tensor, tensor.shape[1], tensor.shape[2], batch_size=images.shape[0])
    if tensor in spatial:
        spatial_shapes.append((tensor.shape[1], tensor.shape[2]))


def _first_axis_reason(tensor: Any, images: Any) -> str | None:
    """What is there instead of the pictures, if anything: rows of it would be taken for those of other pictures."""
    length, batch_size = tensor.shape[0], images.shape[0]
    if length is None or batch_size is None or length == batch_size:
        return None
    if length % batch_size:
        return f"{_NOT_THE_BATCH} {length} for {batch_size} pictures"
    return f"{_NOT_THE_BATCH} {length // batch_size} for each picture: crops, views or windows of it"


def _judge_tokens(
    one: _LayerOutput, before: set[str], after: set[str], spatial_shapes: list[tuple[int, int]], batch_size: int | None
) -> None:
    """Tokens are put back on the last grid before them that has as many cells, but for a few others.

    Those lie in front, unless the graph shows where they were added.
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
    one.reason = f"{tokens} tokens, and no grid before them has as many cells"


def _choose_auto_layer(
    layer_outputs: list[_LayerOutput], images: Any, logits: Any, after: set[str], spatial: SpatialTensors
) -> _LayerOutput | None:
    """The last candidate that is no pooling; of layers that return one and the same tensor, the first."""
    candidates = [
        one
        for one in layer_outputs
        if one.feature_map is not None
        and one.tensor.op.type not in _POOLING
        and (one.tensor.shape.rank == 3 or one.tensor in spatial)
    ]
    if any(one.reason.startswith(_NOT_THE_BATCH) for one in layer_outputs):
        # A grid of one view of several, such as the mirror image, is not what the model sees of the picture; nor is
        # what lies before the first product.
        weighted = _tensors_after_weights(logits.graph, after)
        candidates = [
            one for one in candidates if one.tensor.name in weighted and _is_only_path(one.tensor, images, logits)
        ]
    if any(one.feature_map is not None and one.feature_map.num_extra_tokens for one in candidates):
        # Read out through a class token: behind the last attention the picture's tokens lead nowhere.
        attended = _before_last_attention(logits)
        candidates = [one for one in candidates if not attended or one.tensor.name in attended]
    if not candidates:
        return None
    last = candidates[-1].tensor.name
    return next(one for one in candidates if one.tensor.name == last)


def _tensors_after_weights(graph: Any, after: set[str]) -> set[str]:
    """Names of the tensors behind the first products with the pictures."""
    found: set[str] = set()
    for operation in graph.get_operations():
        outputs = {tensor.name for tensor in operation.outputs}
        if not outputs.isdisjoint(after) and (
            operation.type in _PRODUCTS or any(tensor.name in found for tensor in operation.inputs)
        ):
            found |= outputs
    return found


def _is_only_path(feature_map: Any, images: Any, logits: Any) -> bool:
    """True where nothing gets from the pictures to the logits but through a grid."""
    seen = {feature_map.name}
    waiting = [logits]
    while waiting:
        tensor = waiting.pop()
        if tensor is images:
            return False
        if tensor.name not in seen and tensor.dtype.is_floating:  # sizes of pictures are none of their content
            seen.add(tensor.name)
            waiting.extend(tensor.op.inputs)
    return True


def _before_last_attention(logits: Any) -> set[str]:
    needed = ancestors(logits)
    for operation in reversed(logits.graph.get_operations()):
        if operation.type == "Softmax" and operation.outputs[0].name in needed:
            shape = operation.outputs[0].shape
            if shape.rank is not None and shape.rank >= 3 and shape[-1] == shape[-2]:
                return ancestors(operation.outputs[0])
    return set()


def _auto_reason(one: _LayerOutput) -> str:
    if one.feature_map is not None and one.tensor.shape.rank == 3:
        return "auto: the last tokens that still meet, put back on their grid"
    return "auto: the last grid before pooling"


def choose_layer(name: str, rows: tuple[LayerInfo, ...]) -> str:
    """The path of the target layer: the one that was named, or the one for ``auto``.

    Raises:
        LayerError: no such layer, or it cannot be explained; says why.
    """
    by_path = {row.path: row for row in rows}
    if name == "auto":
        for row in rows:
            if row.chosen:
                return row.path
        multi_view_rows = [row for row in rows if row.reason.startswith(_NOT_THE_BATCH)]
        raise LayerError(
            "the model has no layer whose output is a grid (N, h, w, channels) that its logits depend on"
            + (f"; of {multi_view_rows[-1].path} {multi_view_rows[-1].reason}" if multi_view_rows else ""),
            expected="a convolutional classifier",
            hint="use a method that needs no layer, such as saliency or occlusion",
        )
    if name not in by_path:
        raise LayerError(
            f"the model has no layer {name!r}", hint=did_you_mean(name, by_path) or "streamcam layers MODEL lists them"
        )
    if not by_path[name].usable:
        raise LayerError(
            f"layer {name!r} cannot be explained: {by_path[name].reason}",
            expected="a grid (N, h, w, channels) before the pooling that the logit depends on",
            hint="streamcam layers MODEL lists them",
        )
    return name
