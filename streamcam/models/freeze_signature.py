"""Freeze the signature of a SavedModel for inference: variables are read and never assigned.

``model.export`` traces augmentation layers (``RandomFlip``) as in training, each with a seed that every call changes.
Frozen, the seed keeps its value. The random numbers in front of the first weights become the centre of their range.
With a symmetric range (flips, rotations, shifts, zooms) such a layer then passes its images on unchanged, as with
``training=False``; `RandomContrast` with one factor keeps half of its effect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..tf import FunctionConverter, construct_function, replace_variables, tf

_WRITE_PREFIXES = ("Assign", "ResourceScatter", "ResourceStridedSliceAssign")
_WEIGHTED = frozenset(
    (
        "Conv2D",
        "Conv3D",
        "DepthwiseConv2dNative",
        "MatMul",
        "BatchMatMulV2",
        "BatchMatMulV3",
        "Einsum",
        "FusedBatchNormV3",
    )
)
"""Operations with weights; an augmentation has none."""

_CENTRES = {"StatelessRandomUniformV2": 0.5 + 2.0**-20, "StatelessRandomNormalV2": 0.0}
"""Centre of the range of each random operation. Slightly above one half, so that no image is flipped: a flip needs a
number of at most one half."""


def freeze_signature(function: Any) -> tuple[Any, int]:
    """Freeze a concrete function without its variable writes.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors.

    Returns:
        The frozen function, and the number of random operations in front of the first weights that became constant.

    Raises:
        ValueError, tf.errors.OpError: TensorFlow cannot freeze it.
    """
    converter = FunctionConverter(function, True, False)
    _drop_writes(converter.graph_def)
    num_centred = _centre_augmentation(converter.graph_def)
    graph_def, converted_inputs = replace_variables(converter)
    return construct_function(function, graph_def, converted_inputs), num_centred


def _drop_writes(graph_def: Any) -> None:
    writes = {node.name for node in graph_def.node if node.op.startswith(_WRITE_PREFIXES)}
    kept = [node for node in graph_def.node if node.name not in writes]
    for node in kept:
        inputs = [tensor for tensor in node.input if not (tensor.startswith("^") and tensor[1:] in writes)]
        if len(inputs) < len(node.input):
            node.input[:] = inputs
    if writes:
        copies = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph_def.node[:]
        graph_def.node.extend(copies)


def _centre_augmentation(graph_def: Any) -> int:
    """Replace random numbers that only augmentation reads by constants, in place; return their number."""
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph_def.node:
        for tensor in node.input:
            readers[_node_name(tensor)].append(node)
    weighted = [node.name for node in graph_def.node if node.op in _WEIGHTED]
    behind_weights = _descendants(readers, weighted, stop=frozenset())
    num_centred = 0
    for node in list(graph_def.node):
        if node.op not in _CENTRES or node.attr["dtype"].type != tf.float32.as_datatype_enum:
            continue
        reached = _descendants(readers, [node.name], stop=_WEIGHTED)
        if weighted and not any(name in behind_weights for name in reached):
            shape = node.input[0]
            controls = [tensor for tensor in node.input if tensor.startswith("^")]
            value = tf.make_tensor_proto(_CENTRES[node.op], tf.float32)
            constant = graph_def.node.add(name=f"{node.name}/centre", op="Const")
            constant.attr["dtype"].type = tf.float32.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(value)
            index_type = node.attr["Tshape"].type
            name = node.name
            node.Clear()
            node.name, node.op = name, "Fill"
            node.input.extend([shape, constant.name, *controls])
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["index_type"].type = index_type
            num_centred += 1
    return num_centred


def _descendants(readers: dict[str, list[Any]], start: Iterable[str], stop: frozenset[str]) -> set[str]:
    """Return the nodes behind some nodes; ``stop`` ends the search."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        for reader in readers[waiting.pop()]:
            if reader.name not in found and reader.op not in stop:
                found.add(reader.name)
                waiting.append(reader.name)
    return found


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
