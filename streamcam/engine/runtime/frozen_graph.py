"""Frozen graphs, and how they run: each on one device, with TensorFlow's rewriter told what to do with that one.

A graph of constants needs no part of TensorFlow that traces, and none that holds variables: a session runs it. That
costs less for each run than calling a function does, starts in a third of the time, and takes its options (precision,
XLA) with it, so that no option of the user's TensorFlow is switched for a call.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DeviceError, ModelError, OutOfMemoryError
from ...imports import error_summary
from ...tf import tf
from ..compiler.external_weights import Weights, convert_weights, import_graph, restore_weights
from ..compiler.names import node_name
from ..compiler.passes import insert_fusion_barriers
from .devices import default_intra_op_threads, tensorflow_name, virtual_cpu_count

_DISABLED_OPTIMIZERS = (
    *("layout_optimizer", "constant_folding", "arithmetic_optimization", "dependency_optimization"),
    *("function_optimization", "shape_optimization", "loop_optimization", "common_subgraph_elimination"),
    *("implementation_selector", "scoped_allocator_optimization", "pin_to_host_optimization", "debug_stripper"),
)
"""What TensorFlow's rewriter does beside fusing."""

CONCURRENT_BATCHES = 2
"""Batches that are under way on a device. On a graphics card one is copied while the other is computed. On a processor
each has half of the cores; the other half is the decoder's and the encoder's, unless the model takes longest."""

_NICE_INCREMENT = 10
"""By how much the nice value of the model's threads on a processor is above that of the others."""

_PYTHON_OPERATIONS = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc"))


@dataclass(frozen=True, slots=True, eq=False)
class FrozenGraph:
    """A graph of constants, the large ones beside it.

    Attributes:
        graph_def: the `GraphDef`; no node says on which device it is.
        inputs, outputs: names of tensors.
        weights: values of some of its placeholders.
        cpu_precision: the precision in which it was rewritten for processors; empty before.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Weights = field(default_factory=dict)
    cpu_precision: str = ""

    @property
    def is_serializable(self) -> bool:
        """True where it can be stored: it calls nothing that lives in this process."""
        return not any(node.op in _PYTHON_OPERATIONS for node in self.graph_def.node)

    def rewrite(self, precision: str) -> FrozenGraph:
        """What TensorFlow makes of it for a processor: constants computed, arithmetic in ``precision``.

        All but the fusing, whose results only this processor's own run of TensorFlow can read.
        """
        from tensorflow.python.grappler import tf_optimizer

        meta = tf.compat.v1.MetaGraphDef()
        meta.graph_def.CopyFrom(self.graph_def)
        for node in meta.graph_def.node:
            node.device = tensorflow_name("cpu")
        # What is in this collection counts as wanted.
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
        insert_fusion_barriers(rewritten, list(self.outputs))
        return FrozenGraph(
            rewritten, self.inputs, self.outputs, restore_weights(rewritten, weights, kept_nodes), precision
        )

    def load(self, device: str, precision: str = "float32", *, xla: bool = False) -> LoadedGraph:
        """Makes it ready to run; the first run takes longer than the others.

        Args:
            device: as from `resolve_devices`.
            precision: ``float32``, ``bfloat16`` (processors) or ``float16`` (graphics cards).
            xla: compile it, on a graphics card.
        """
        return LoadedGraph(self, device, precision, xla=xla)


class LoadedGraph:
    """A program on a device: arrays in, arrays out. Callable from several threads at a time.

    Args:
        frozen: what runs.
        device: as from `resolve_devices`.
        precision: of the arithmetic.
        xla: compile it, on a graphics card.

    Raises:
        ModelError: its shapes do not fit together.
    """

    def __init__(self, frozen: FrozenGraph, device: str, precision: str, *, xla: bool = False) -> None:
        on_cpu = device.startswith("cpu")
        if on_cpu and frozen.cpu_precision != precision:
            frozen = frozen.rewrite(precision)
        self._device = device
        self.graph = tf.Graph()
        with self.graph.as_default(), tf.device(tensorflow_name(device)):
            try:
                import_graph(frozen.graph_def, frozen.weights)
            except ValueError as error:  # a shape that shows only once the constants are computed
                raise ModelError(f"the model failed: {error_summary(error)}") from error
        self._session = _make_cpu_session(self.graph) if on_cpu else _make_gpu_session(self.graph, precision, xla=xla)
        self._call = self._session.make_callable(list(frozen.outputs), feed_list=list(frozen.inputs))

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Runs it once.

        Raises:
            OutOfMemoryError: the device's memory is too small.
            ModelError: an operation failed.
            DeviceError: the session did.
        """
        try:
            return [np.asarray(output) for output in self._call(*inputs)]
        except tf.errors.ResourceExhaustedError as error:
            raise OutOfMemoryError(
                f"{self._device} has not enough memory for {len(inputs[0])} frames at once",
                hint="use a smaller --batch",
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(f"the model failed: {error.message}") from error
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(f"{self._device} failed: {error_summary(error)}") from error


def _make_cpu_session(graph: Any) -> Any:
    """A session whose threads compute when the encoder's have nothing to do.

    A picture goes through an encoder's threads one after the other, so each of them that waits for a core delays all;
    the model has work ahead and can wait. Threads inherit the priority of the one that starts them.
    """
    with ThreadPoolExecutor(1, initializer=_lower_priority) as executor:
        session = executor.submit(tf.compat.v1.Session, graph=graph, config=_cpu_config())
    return session.result()


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere a priority is that of the whole process
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
    # Aggressive means no more here than to believe the shapes of what is fed, without which no residual sum is fused.
    options.remapping = options.AGGRESSIVE
    options.meta_optimizer_iterations = options.ONE
    options.memory_optimization = options.NO_MEM_OPT
    # Each of these copies the graph, with all weights in it by now, and finds nothing to do.
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
    if xla:
        config.graph_options.optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_2
    return tf.compat.v1.Session(graph=graph, config=config)
