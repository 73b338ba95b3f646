"""Run frozen graphs: `FrozenGraph` is the graph, `LoadedGraph` a session that runs it on one device.

A graph of constants needs neither tracing nor variables, so that a `tf.compat.v1.Session` can run it. A session has
less overhead per run than a `tf.function`, starts in a third of the time, and has its own options (precision, XLA,
rewriter): no global option of the user's TensorFlow changes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DeviceError, ModelError, OutOfMemoryError, error_summary
from ...models.graph_operations import refused_operation
from ...tf import tf
from ..compiler.external_weights import convert_weights, import_graph, restore_weights
from ..compiler.graph_editor import PassContext, Weights, node_name
from ..compiler.passes import insert_fusion_barriers
from .devices import default_intra_op_threads, tensorflow_name, virtual_cpu_count

_DISABLED_OPTIMIZERS = (
    *("layout_optimizer", "constant_folding", "arithmetic_optimization", "dependency_optimization"),
    *("function_optimization", "shape_optimization", "loop_optimization", "common_subgraph_elimination"),
    *("implementation_selector", "scoped_allocator_optimization", "pin_to_host_optimization", "debug_stripper"),
)
"""Optimizers of TensorFlow's rewriter, except for fusion (`remapping`)."""

CONCURRENT_BATCHES = 2
"""Batches in flight per device. On a GPU one is copied while the other is computed. On a CPU each runs on half of the
cores, and decoder and encoder use the other half unless the model is the bottleneck."""

_NICE_INCREMENT = 10
"""Increment of the nice value of the model's CPU threads over that of other threads."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenGraph:
    """A graph of constants, with its large weights outside the `GraphDef`.

    Attributes:
        graph_def: the `GraphDef`; no node has a device.
        inputs: names of the input tensors.
        outputs: names of the output tensors.
        weights: values of the placeholders for external weights.
        cpu_precision: precision for which `rewrite` has optimised it for CPUs; empty before.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Weights = field(default_factory=dict)
    cpu_precision: str = ""

    @property
    def is_serializable(self) -> bool:
        """True if it can be stored: it only computes, and calls no Python function of this process."""
        return not refused_operation(self.graph_def)

    def rewrite(self, precision: str) -> FrozenGraph:
        """Run TensorFlow's rewriter for a CPU: fold constants, convert the arithmetic to ``precision``.

        Fusion is left to the session: its results cannot be stored.

        Args:
            precision: ``float32`` or ``bfloat16``.
        """
        from tensorflow.python.grappler import tf_optimizer

        meta = tf.compat.v1.MetaGraphDef()
        meta.graph_def.CopyFrom(self.graph_def)
        for node in meta.graph_def.node:
            node.device = tensorflow_name("cpu")
        # Nodes of this collection count as outputs.
        meta.collection_def["train_op"].node_list.value.extend(self.outputs)
        config = tf.compat.v1.ConfigProto()
        options = config.graph_options.rewrite_options
        options.min_graph_nodes = -1
        options.meta_optimizer_iterations = options.TWO
        options.remapping = options.OFF
        if precision == "bfloat16":
            options.auto_mixed_precision_onednn_bfloat16 = options.ON
        rewritten = tf_optimizer.OptimizeGraph(config, meta)
        for node in rewritten.node:
            node.device = ""
        kept_nodes = [node_name(tensor) for tensor in (*self.inputs, *self.outputs)]
        weights = convert_weights(rewritten, self.weights)
        rewritten = tf.compat.v1.graph_util.extract_sub_graph(rewritten, kept_nodes)
        insert_fusion_barriers(PassContext(rewritten, self.inputs, self.outputs))
        return FrozenGraph(
            rewritten, self.inputs, self.outputs, restore_weights(rewritten, weights, kept_nodes), precision
        )

    def load(
        self, device: str, precision: str = "float32", *, xla: bool = False, threads_yield: bool = True
    ) -> LoadedGraph:
        """Load the graph on a device; the first run takes longer than the others.

        Args:
            device: as from `resolve_devices`.
            precision: ``float32``, ``bfloat16`` (CPUs) or ``float16`` (GPUs).
            xla: compile with XLA; on a CPU only with ``TF_XLA_FLAGS=--tf_xla_cpu_global_jit``.
            threads_yield: run its CPU threads at a lower priority than the others of the process.
        """
        return LoadedGraph(self, device, precision, xla=xla, threads_yield=threads_yield)


class LoadedGraph:
    """A frozen graph loaded on a device: arrays in, arrays out; thread-safe.

    Args:
        frozen: the graph.
        device: as from `resolve_devices`.
        precision: precision of the arithmetic.
        xla: as for `FrozenGraph.load`.
        threads_yield: run its CPU threads at a lower priority than the others of the process.

    Raises:
        ModelError: the shapes of the graph do not match.
    """

    def __init__(
        self, frozen: FrozenGraph, device: str, precision: str, *, xla: bool = False, threads_yield: bool = True
    ) -> None:
        on_cpu = device.startswith("cpu")
        if on_cpu and frozen.cpu_precision != precision:
            frozen = frozen.rewrite(precision)
        self._device = device
        self.graph = tf.Graph()
        with self.graph.as_default(), tf.device(tensorflow_name(device)):
            try:
                import_graph(frozen.graph_def, frozen.weights)
            except ValueError as error:  # a shape that is known only after constant folding
                raise ModelError(f"the model failed: {error_summary(error)}") from error
        self._make_session: Callable[..., Any] = (
            functools.partial(_make_cpu_session, self.graph, threads_yield=threads_yield)
            if on_cpu
            else functools.partial(_make_gpu_session, self.graph, precision)
        )
        self._session = self._make_session(xla=xla)
        self._is_compiled = xla
        self._call = self._session.make_callable(list(frozen.outputs), feed_list=list(frozen.inputs))

    def part(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[..., list[NDArray[Any]]]:
        """Return a function that runs the operations between some tensors of `graph`; called and raises as this one.

        A part is never compiled with XLA: its first run would wait for that.
        """
        return functools.partial(self._run, self._plain_session.make_callable(list(outputs), feed_list=list(inputs)))

    @functools.cached_property
    def _plain_session(self) -> Any:
        return self._make_session(xla=False) if self._is_compiled else self._session

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the graph once.

        Args:
            *inputs: an array for each input tensor, the batch first.

        Returns:
            An array for each output tensor.

        Raises:
            OutOfMemoryError: the device memory is too small for the batch.
            ModelError: an operation failed.
            DeviceError: the session failed.
        """
        return self._run(self._call, *inputs)

    def _run(self, call: Callable[..., list[Any]], *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return [np.asarray(output) for output in call(*inputs)]
        except tf.errors.ResourceExhaustedError as error:
            raise OutOfMemoryError(
                f"{self._device} has too little memory for a batch of {len(inputs[0])}",
                hint="use a smaller --batch",
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(f"the model failed: {error.message}") from error
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(f"{self._device} failed: {error_summary(error)}") from error


def _make_cpu_session(graph: Any, *, threads_yield: bool, xla: bool) -> Any:
    """Make a session; its threads yield to the encoder's threads on demand.

    A frame passes through the encoder's threads in sequence, so that one thread that waits for a core delays all; the
    model has batches queued and can wait. Threads inherit the priority of the thread that starts them.
    """
    with ThreadPoolExecutor(1, initializer=_lower_priority if threads_yield else None) as executor:
        session = executor.submit(tf.compat.v1.Session, graph=graph, config=_enable_xla(_cpu_config(), xla))
    return session.result()


def _lower_priority() -> None:
    if sys.platform == "linux":  # on other systems the priority applies to the whole process
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE_INCREMENT)


def _cpu_config() -> Any:
    config = tf.compat.v1.ConfigProto(
        device_count={"CPU": virtual_cpu_count(), "GPU": 0},
        intra_op_parallelism_threads=default_intra_op_threads(),
        inter_op_parallelism_threads=CONCURRENT_BATCHES,
        use_per_session_threads=True,
    )
    options = config.graph_options.rewrite_options
    for step in _DISABLED_OPTIMIZERS:
        setattr(options, step, options.OFF)
    # AGGRESSIVE only makes the rewriter trust the shapes of the inputs, without which no residual sum is fused.
    options.remapping = options.AGGRESSIVE
    options.meta_optimizer_iterations = options.ONE
    options.memory_optimization = options.NO_MEM_OPT
    # Each of these would copy the graph, which now contains all weights, and change nothing.
    options.disable_tfg_optimizer = options.experimental_disable_compressed_tensor_optimization = True
    config.experimental.optimize_for_static_graph = config.experimental.disable_output_partition_graphs = True
    return config


def _make_gpu_session(graph: Any, precision: str, *, xla: bool) -> Any:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    options = config.graph_options.rewrite_options
    options.min_graph_nodes = -1
    if precision == "float16":
        options.auto_mixed_precision = options.ON
    return tf.compat.v1.Session(graph=graph, config=_enable_xla(config, xla))


def _enable_xla(config: Any, xla: bool) -> Any:
    if xla:
        config.graph_options.optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_2
    return config
