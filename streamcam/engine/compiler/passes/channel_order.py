"""Fold the RGB to BGR permutation into the first convolution kernel.

ResNet50, VGG and other models with Caffe weights expect BGR. Keras slices and restacks the channels, which takes half a
millisecond per image. A convolution whose kernel has its input channels in the other order gives the same result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph_editor import GraphEditor, PassContext, constant_operand, node_name

_PASS_THROUGH = ("Identity", "Cast")
_REVERSED = slice(None, None, -1)


def fold_channel_order(context: PassContext) -> int:
    """Fold permutations of the channels into the convolution after them, in place.

    Returns:
        The number of folded permutations.
    """
    graph = context.edit()
    folded = 0
    for node in list(context.graph_def.node):
        found = _find_reordering(node, graph)
        chain = _chain(node, graph) if found is not None else None
        if found is None or chain is None:
            continue
        source, channel_index = found
        between, convolution = chain
        channels = graph.constants[convolution.input[1]].shape[2]
        shape = context.shape_of(source)
        if shape.rank != 4 or shape[3] != channels:  # a grouped convolution, or a slice of the channels
            continue
        order = np.arange(channels)[channel_index] if isinstance(channel_index, slice) else np.asarray(channel_index)
        constants = [(one, position) for one in between if (position := constant_operand(one, graph)) is not None]
        shapes = [graph.constants[one.input[position]].shape for one, position in constants]
        if sorted(order) == list(range(channels)) and all(shape[-1:] in ((), (1,), (channels,)) for shape in shapes):
            for one, position in [*constants, (convolution, 1)]:
                _reorder_channels(one, position, np.argsort(order), graph)
            graph.redirect(node.name, source)
            folded += 1
    return folded


def _reorder_channels(node: Any, position: int, order: NDArray[np.intp], graph: GraphEditor) -> None:
    """Permute the channels of a constant operand to match its input."""
    value = graph.constants[node.input[position]]
    if node.op == "Conv2D":
        value = value[:, :, order]
    elif value.shape[-1:] == order.shape:
        value = value[..., order]
    node.input[position] = graph.add_constant(f"{node.name}/ordered", value)


def _find_reordering(node: Any, graph: GraphEditor) -> tuple[str, list[int] | slice] | None:
    """Return the tensor whose channels a node permutes, and the index; or None."""
    if node.op == "ReverseV2" and node.input[1] in graph.constants:
        return (node.input[0], _REVERSED) if graph.constants[node.input[1]].tolist() in ([-1], [3]) else None
    if node.op == "StridedSlice" and _last_axis_index(node, graph) == _REVERSED:
        return node.input[0], _REVERSED
    if node.op == "Pack" and node.attr["axis"].i in (-1, 3):
        parts = [graph.nodes[node_name(name)] for name in node.input]
        if all(part.op == "StridedSlice" and graph.is_read_once(part) for part in parts):
            picks = [pick for part in parts if isinstance(pick := _last_axis_index(part, graph), int)]
            if len(picks) == len(parts) and len({part.input[0] for part in parts}) == 1:
                return parts[0].input[0], picks
    return None


def _last_axis_index(node: Any, graph: GraphEditor) -> int | slice | None:
    """Return ``i`` of ``[..., i]`` or the slice of ``[..., ::-1]``; None for any other index."""
    known = all(name in graph.constants for name in (node.input[1], node.input[3]))
    if not known or node.attr["ellipsis_mask"].i != 1 or node.attr["new_axis_mask"].i:
        return None
    begin, strides = (graph.constants[name].tolist() for name in (node.input[1], node.input[3]))
    if len(begin) != 2:
        return None
    if node.attr["shrink_axis_mask"].i == 2:
        return int(begin[1])
    return _REVERSED if strides[1] == -1 and node.attr["begin_mask"].i & node.attr["end_mask"].i & 2 else None


def _chain(start: Any, graph: GraphEditor) -> tuple[list[Any], Any] | None:
    """Return the only convolution after a node, and the nodes between; or None."""
    between: list[Any] = []
    at = start
    while graph.is_read_once(at):
        node = graph.nodes[graph.readers[at.name][0]]
        constant = constant_operand(node, graph)
        if node.input[1 - constant if constant is not None else 0] != at.name:  # a control input, or another operand
            break
        if node.op == "Conv2D":
            known = node.input[1] in graph.constants and node.attr["data_format"].s == b"NHWC"
            return (between, node) if known else None
        if not (constant is not None or node.op in _PASS_THROUGH or _pads_image(node, graph)):
            break
        between.append(node)
        at = node
    return None


def _pads_image(node: Any, graph: GraphEditor) -> bool:
    """Return True for a constant padding of rows and columns only."""
    if node.op not in ("Pad", "PadV2") or any(name not in graph.constants for name in node.input[1:3]):
        return False
    pads = graph.constants[node.input[1]]
    return pads.shape == (4, 2) and not pads[3].any()
