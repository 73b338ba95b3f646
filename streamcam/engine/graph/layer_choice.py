"""Choose the target layer: the one that ``--layer`` names, or the best one for ``auto``."""

from __future__ import annotations

from typing import Any

from ...errors import LayerError, did_you_mean
from .layer_info import FeatureMap, LayerInfo, LayerOutput
from .layer_trace import ancestors, descendants
from .spatial import SpatialTensors

POOLING = ("MaxPool", "AvgPool")
PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum")
_PADDING = ("Pad", "PadV2", "MirrorPad")
_MIN_LAYERS_THROUGH_DEPTH = 4
NOT_BATCH_AXIS = "its first axis holds"
"""Beginning of the reason of a layer whose first axis is not the batch."""


def choose_auto_layer(
    layer_outputs: list[LayerOutput], images: Any, logits: Any, after: set[str], spatial: SpatialTensors
) -> LayerOutput | None:
    """Return the last usable layer that is not a pooling; the first of those that return its tensor."""
    candidates = [
        one
        for one in layer_outputs
        if one.feature_map is not None
        and one.tensor.op.type not in POOLING
        and (one.tensor.shape.rank == 3 or one.tensor in spatial)
    ]
    if any(one.reason.startswith(NOT_BATCH_AXIS) for one in layer_outputs):
        # A feature map of one of several views (such as the mirror image) does not represent the whole image; neither
        # does a tensor before the first weights.
        weighted = _tensors_after_weights(logits.graph, after)
        candidates = [
            one for one in candidates if one.tensor.name in weighted and _is_only_path(one.tensor, images, logits)
        ]
    if any(one.feature_map is not None and one.feature_map.num_extra_tokens for one in candidates):
        # Classified from a class token: after the last attention the logits do not depend on the patch tokens.
        attended = _before_last_attention(logits)
        candidates = [one for one in candidates if not attended or one.tensor.name in attended]
    if not candidates:
        return None
    last = candidates[-1].tensor.name
    return next(one for one in candidates if one.tensor.name == last)


def _tensors_after_weights(graph: Any, after: set[str]) -> set[str]:
    """Return the names of the tensors after the first products."""
    found: set[str] = set()
    for operation in graph.get_operations():
        outputs = {tensor.name for tensor in operation.outputs}
        if not outputs.isdisjoint(after) and (
            operation.type in PRODUCTS or any(tensor.name in found for tensor in operation.inputs)
        ):
            found |= outputs
    return found


def _is_only_path(feature_map: Any, images: Any, logits: Any) -> bool:
    """Return True if a feature map blocks every path to the images."""
    seen = {feature_map.name}
    waiting = [logits]
    while waiting:
        tensor = waiting.pop()
        if tensor is images:
            return False
        if tensor.name not in seen and tensor.dtype.is_floating:  # integer tensors carry image sizes, not content
            seen.add(tensor.name)
            waiting.extend(tensor.op.inputs)
    return True


def _before_last_attention(logits: Any) -> set[str]:
    """Return the names of the tensors before the last attention softmax; empty without attention."""
    needed = ancestors(logits)
    for operation in reversed(logits.graph.get_operations()):
        if operation.type == "Softmax" and operation.outputs[0].name in needed:
            shape = operation.outputs[0].shape
            if shape.rank is not None and shape.rank >= 3 and shape[-1] == shape[-2]:
                return ancestors(operation.outputs[0])
    return set()


def auto_reason(one: LayerOutput) -> str:
    """Return the reason shown for the layer that ``auto`` selects."""
    if one.feature_map is not None and one.tensor.shape.rank == 3:
        return "auto: the last tokens that the logits depend on, as a feature map"
    return "auto: the last feature map before the pooling"


def choose_layer(name: str, rows: tuple[LayerInfo, ...]) -> str:
    """Return the path of the target layer.

    Args:
        name: a layer path, or ``auto``.
        rows: the surveyed layers.

    Raises:
        LayerError: no such layer, or it cannot be explained; the message gives the reason.
    """
    by_path = {row.path: row for row in rows}
    if name == "auto":
        for row in rows:
            if row.chosen:
                return row.path
        multi_view_rows = [row for row in rows if row.reason.startswith(NOT_BATCH_AXIS)]
        raise LayerError(
            "the model has no layer whose output is a feature map (N, h, w, channels) that its logits depend on"
            + (f"; {multi_view_rows[-1].path}: {multi_view_rows[-1].reason}" if multi_view_rows else ""),
            expected="a convolutional classifier",
            hint="use a method that needs no layer, such as saliency or occlusion",
        )
    if name not in by_path:
        raise LayerError(
            f"unknown layer {name!r}", hint=did_you_mean(name, by_path) or "streamcam layers MODEL lists the layers"
        )
    if not by_path[name].usable:
        raise LayerError(
            f"layer {name!r} cannot be explained: {by_path[name].reason}",
            expected="a feature map (N, h, w, channels) before the pooling that the logits depend on",
            hint="streamcam layers MODEL lists the layers",
        )
    return name


def choose_layers_through_depth(
    rows: tuple[LayerInfo, ...], feature_maps: dict[str, FeatureMap], images: Any
) -> tuple[str, ...]:
    """Return the paths of layers through the depth of the network.

    They are, from the input on, the last layer of each resolution after the first weights, neither pooling nor
    padding. A network of fewer than four resolutions, such as a vision transformer, adds layers of the last one's kind
    at equal distances.

    Args:
        rows: the surveyed layers.
        feature_maps: of the usable ones, by path.
        images: the model's input.

    Raises:
        LayerError: no layer has a feature map.
    """
    chosen = next((row for row in rows if row.chosen), None)
    if chosen is None:
        raise LayerError(
            "the model has no layer whose output is a feature map (N, h, w, channels) that its logits depend on",
            expected="a model with convolutions or patch tokens",
            hint="streamcam layers MODEL --all lists the layers, with the reasons",
        )
    weighted = _tensors_after_weights(images.graph, descendants(images))
    by_tensor: dict[str, LayerInfo] = {}
    for row in rows:
        tensor = feature_maps[row.path].tensor if row.usable else None
        if row is chosen or (
            tensor is not None and tensor.name in weighted and tensor.op.type not in (*POOLING, *_PADDING)
        ):
            by_tensor.setdefault(feature_maps[row.path].tensor.name, row)
        if row is chosen:
            break
    candidates = list(by_tensor.values())
    last = {row.spatial_shape: row.path for row in candidates}
    paths = set(last.values())
    if len(paths) < _MIN_LAYERS_THROUGH_DEPTH:
        alike = [row.path for row in candidates if row.kind == candidates[-1].kind]
        count = min(_MIN_LAYERS_THROUGH_DEPTH, len(alike))
        paths |= {alike[(n + 1) * len(alike) // count - 1] for n in range(count)}
    return tuple(row.path for row in candidates if row.path in paths)
