"""Rewrite GELU after a dense layer into the form that TensorFlow fuses.

``tf.nn.gelu`` computes ``0.5 x · erfc(−x / √2)``, and after a dense layer on a feature map it reads a reshaped tensor.
TensorFlow's rewriter recognises only ``0.5 x · (1 + erf(x / √2))`` in bfloat16, and in no precision a GELU after a
reshape. An unfused GELU makes five float32 copies of the largest tensors of ConvNeXt and ViT.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph_editor import GraphEditor, PassContext, node_name


def rewrite_gelu(context: PassContext) -> int:
    """Rewrite GELUs after dense layers into the form TensorFlow fuses.

    Returns:
        The number of rewritten GELUs.
    """
    graph = context.edit()
    found = 0
    for root in [node for node in context.graph_def.node if node.op == "Mul" and node.name not in graph.preserved]:
        source = _gelu_of(root, graph)
        if source is None:
            continue
        reshape = source if source.op == "Reshape" else None
        bias = graph.nodes[node_name(source.input[0])] if reshape is not None else source
        if bias.op != "BiasAdd" or graph.nodes[node_name(bias.input[0])].op != "MatMul":
            continue
        if reshape is not None and not graph.is_read_once(bias):
            continue
        end = _add_fusible_gelu(graph, root, bias)
        if reshape is not None:
            end = graph.copy(reshape, f"{root.name}/reshape", {0: end}).name
        graph.redirect(root.name, end)
        found += 1
    return found


def _gelu_of(root: Any, graph: GraphEditor) -> Any:
    """Return ``x`` of a ``gelu(x)`` without other readers inside; or None."""
    sides = [graph.nodes[node_name(name)] for name in root.input[:2]]
    for half, erfc in (sides, sides[::-1]):
        if half.op != "Mul" or erfc.op != "Erfc" or not graph.is_read_once(half) or not graph.is_read_once(erfc):
            continue
        scaled = graph.nodes[node_name(erfc.input[0])]
        x = _scaled_operand(half, 0.5, graph)
        negative = _scaled_operand(scaled, np.sqrt(0.5), graph)
        if x is None or negative is None or negative.op != "Neg" or node_name(negative.input[0]) != x.name:
            continue
        if not graph.is_read_once(scaled) or not graph.is_read_once(negative) or x.name in graph.preserved:
            continue
        if sorted(graph.readers[x.name]) == sorted((half.name, negative.name)):
            return x
    return None


def _scaled_operand(product: Any, factor: float, graph: GraphEditor) -> Any:
    """Return the node that a product multiplies with a constant factor; None for another factor."""
    if product.op != "Mul":
        return None
    for constant, other in (product.input[:2], product.input[1::-1]):
        if constant in graph.constants and other not in graph.constants:
            value = graph.constants[constant]
            return graph.nodes[node_name(other)] if value.size == 1 and np.isclose(value.reshape(()), factor) else None
    return None


def _add_fusible_gelu(graph: GraphEditor, root: Any, x: Any) -> str:
    """Add ``0.5 x · (1 + erf(x / √2))`` and return its name."""
    name, kind = f"{root.name}/gelu", graph.constants[x.input[1]].dtype

    def constant(suffix: str, value: float) -> str:
        return graph.add_constant(f"{name}/{suffix}", np.asarray(value, kind))

    half = graph.add(f"{name}/half", "Mul", [x.name, constant("one_half", 0.5)], root)
    scaled = graph.add(f"{name}/scaled", "Mul", [x.name, constant("root", np.sqrt(0.5))], root)
    erf = graph.add(f"{name}/erf", "Erf", [scaled.name], root)
    above = graph.add(f"{name}/above", "AddV2", [erf.name, constant("one", 1.0)], root)
    return str(graph.add(name, "Mul", [half.name, above.name], root).name)
