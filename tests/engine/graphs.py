"""Trace functions of images, and count and run the operations of their graphs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.tf import tf

from .models import HEIGHT, WIDTH

INPUT_SPEC = tf.TensorSpec((2, HEIGHT, WIDTH, 3), tf.uint8)


def trace(function: Any) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(INPUT_SPEC)


def operations(program: FrozenGraph) -> Counter[str]:
    return Counter(node.op for node in program.graph_def.node)


def executed_ops(program: FrozenGraph, images: Any) -> Counter[str]:
    """Return the operations that a session runs, after TensorFlow's fusion."""
    running = program.load("cpu")
    run_metadata = tf.compat.v1.RunMetadata()
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    feed = {program.inputs[0]: images}
    running._session.run(list(program.outputs), feed, options=options, run_metadata=run_metadata)
    labels = [node.timeline_label for device in run_metadata.step_stats.dev_stats for node in device.node_stats]
    return Counter(label.partition(" = ")[2].partition("(")[0] for label in labels)


def run(program: FrozenGraph, images: Any) -> list[Any]:
    return program.load("cpu")(images.numpy())
