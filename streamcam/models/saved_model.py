"""Load a SavedModel folder as a Keras model.

``model.export`` and ``tf.saved_model.save`` write such folders. A SavedModel is a graph without layers. Its signature
is frozen with every function inlined, so that a trace of the model contains its convolutions, activations and logits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ModelError, describe_error
from ..tf import keras, tf
from .freeze_signature import freeze_signature
from .graph_operations import CHECKPOINT_OPERATIONS, called_functions, refused_operation

_SIGNATURES = ("serving_default", "serve")
_EXPECTED = "a SavedModel folder as model.export(...) writes it"


class SavedModel(keras.Model):  # type: ignore[misc]
    """A frozen signature as a Keras model.

    ``inputs``, ``input`` and ``outputs`` are symbolic, as those of a functional model; ``outputs`` is None if the graph
    does not define their shape. Several inputs are a dict by name. Values for integer inputs are rounded and clipped to
    the range of the type.

    Attributes:
        load_notes: one line for each change that loading made to the graph, for the user.
    """

    load_notes: tuple[str, ...] = ()

    def __init__(self, frozen: Any, inputs: dict[str, Any]) -> None:
        """Wrap a frozen concrete function.

        Args:
            frozen: the concrete function.
            inputs: its symbolic inputs by name.
        """
        super().__init__(name="saved_model", trainable=False)
        endpoint_names = [tensor.op.name for tensor in (*inputs.values(), *frozen.outputs)]
        graph_def = tf.compat.v1.graph_util.extract_sub_graph(frozen.graph.as_graph_def(), endpoint_names)
        for node in (*graph_def.node, *(node for one in graph_def.library.function for node in one.node_def)):
            # Custom gradients are Python functions of the process that saved the model. The folder has the forward
            # operations only; for those of Keras (silu) the plain gradient is the same.
            node.attr.pop("_gradient_op_type", None)
        # Bypass Keras's __setattr__, which would wrap lists and dicts to track layers in them.
        self.__dict__["_graph_def"] = graph_def
        self.__dict__["_tensors"] = {name: tensor.name for name, tensor in inputs.items()}
        self.__dict__["_declared"] = {name: _keras_tensor(tensor, name) for name, tensor in inputs.items()}
        known = all(tensor.shape.rank is not None and None not in tensor.shape[1:] for tensor in frozen.outputs)
        results = [_keras_tensor(tensor, tensor.op.name) for tensor in frozen.outputs] if known else None
        self.__dict__["_results"] = results
        self.__dict__["_fetched"] = [tensor.name for tensor in frozen.outputs]
        self.__dict__["_eager"] = tf.function(self._import_graph, autograph=False)
        self.built = True

    @property
    def inputs(self) -> list[Any]:
        """A `keras.KerasTensor` for each input, by name in alphabetical order."""
        return list(self._declared.values())

    @property
    def input(self) -> Any:
        """The only input, or a dict of them."""
        return self.inputs[0] if len(self._declared) == 1 else dict(self._declared)

    @property
    def outputs(self) -> list[Any] | None:
        """A `keras.KerasTensor` for each output."""
        results: list[Any] | None = self.__dict__["_results"]
        return results

    def call(self, inputs: Any) -> Any:
        """Import the frozen operations into the current graph, or run them eagerly.

        Args:
            inputs: a tensor, or a dict of tensors by name.
        """
        values = inputs if isinstance(inputs, dict) else dict.fromkeys(self._declared, inputs)
        return self._eager(values) if tf.executing_eagerly() else self._import_graph(values)

    def _import_graph(self, values: dict[str, Any]) -> Any:
        input_map = {self._tensors[name]: _cast(value, self._declared[name].dtype) for name, value in values.items()}
        tensors: list[Any] = tf.graph_util.import_graph_def(
            self._graph_def, input_map, self._fetched, name="saved_model"
        )
        return tensors[0] if len(tensors) == 1 else tensors


def _keras_tensor(tensor: Any, name: str) -> Any:
    return keras.KerasTensor(tuple(tensor.shape), tensor.dtype.name, name=name)


def _cast(value: Any, dtype: str) -> Any:
    value = tf.convert_to_tensor(value)
    target_dtype = tf.as_dtype(dtype)
    if value.dtype.is_floating and target_dtype.is_integer:
        return tf.saturate_cast(tf.round(value), target_dtype)
    return tf.cast(value, target_dtype)


def load(path: Path, *, trusted: bool = False) -> Any:
    """Load the model of a SavedModel folder.

    Uses the signature ``serving_default``, else ``serve``, else the only one.

    Args:
        path: the folder.
        trusted: load it with any operations. Otherwise its graph is checked before TensorFlow loads it.

    Raises:
        ModelError: damaged, not of TensorFlow 2, no signature or several, an input that is no plain tensor, or an
            operation outside the allow-list.
    """
    if not (path / "saved_model.pb").stat().st_size:
        raise ModelError(f"model {path} is damaged: its saved_model.pb is empty", expected=_EXPECTED)
    if not trusted:
        _check_operations(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            restored = tf.saved_model.load(str(path))
            signatures = dict(restored.signatures)
    except Exception as error:
        raise ModelError(f"model {path} cannot be read: {_describe_load_error(error)}", expected=_EXPECTED) from error
    signature = _select_signature(path, signatures)
    specifications = dict(sorted(signature.structured_input_signature[1].items()))
    for name, specification in specifications.items():
        if not isinstance(specification, tf.TensorSpec) or specification.shape.rank is None:
            raise ModelError(f"input {name} of {path} is {specification}", expected="a tensor of known rank")

    def flat(*values: Any) -> list[Any]:
        returned = signature(**dict(zip(specifications, values, strict=True)))
        return [returned[name] for name in sorted(returned)]

    try:
        # Trace again, so that inputs and outputs have a defined order.
        traced = tf.function(flat, autograph=False).get_concrete_function(*specifications.values())
        frozen, num_centred = freeze_signature(traced)
        model = SavedModel(frozen, dict(zip(specifications, frozen.inputs, strict=True)))
    except Exception as error:
        raise ModelError(
            f"the graph of {path} cannot be frozen: {_describe_load_error(error)}",
            expected="a signature for inference that computes its outputs from its inputs and constant variables",
        ) from error
    if num_centred:
        note = f"{path.name} was exported with random augmentation, which is fixed at the centre of its range"
        model.__dict__["load_notes"] = (note,)
    return model


def _check_operations(path: Path) -> None:
    """Check the graphs of a SavedModel against the allow-list.

    Raises:
        ModelError: an operation outside the list, or the file cannot be read.
    """
    try:
        # The parser of `tf.saved_model.load`, so that both see the same graph.
        meta_graphs = tf.__internal__.saved_model.parse_saved_model(str(path)).meta_graphs
    except Exception as error:
        raise ModelError(f"model {path} cannot be read: {_describe_load_error(error)}", expected=_EXPECTED) from error
    for meta_graph in meta_graphs:
        checkpoint_nodes, checkpoint_functions = _find_checkpoint_functions(meta_graph)
        refused = refused_operation(
            meta_graph.graph_def,
            extra=CHECKPOINT_OPERATIONS,
            extra_in=checkpoint_functions,
            skipped_nodes=checkpoint_nodes,
        )
        if refused:
            raise ModelError(
                f"model {path} contains the operation {refused}, which may reach files, processes, the network or code",
                expected="operations that only compute",
                hint="if you made the model yourself, add --trust-model (trust_model=True in Python)",
            )


def _find_checkpoint_functions(meta_graph: Any) -> tuple[set[str], set[str]]:
    """Find the nodes and functions that only save and restore variables.

    The loader of TensorFlow 2 reads the checkpoint itself and calls neither. A function that anything else could call
    does not count.
    """
    graph_def, saver = meta_graph.graph_def, meta_graph.saver_def
    if not meta_graph.HasField("object_graph_def"):
        return set(), set()  # of TensorFlow 1, whose loader runs them
    nodes = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name.partition(":")[0]} - {""}
    callees = {
        function.signature.name: {name for node in function.node_def for name in called_functions(node)}
        for function in graph_def.library.function
    }
    savers = _reachable(callees, (n for node in graph_def.node if node.name in nodes for n in called_functions(node)))
    others = {name for node in graph_def.node if node.name not in nodes for name in called_functions(node)}
    others |= set(meta_graph.object_graph_def.concrete_functions) | (callees.keys() - savers)
    return nodes, savers - _reachable(callees, others)


def _reachable(callees: dict[str, set[str]], names: Iterable[str]) -> set[str]:
    """Return some functions and all that they call."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in callees and name not in found:
            found.add(name)
            waiting.extend(callees[name])
    return found


def _select_signature(path: Path, signatures: dict[str, Any]) -> Any:
    for name in _SIGNATURES:
        if name in signatures:
            return signatures[name]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    if not signatures:
        raise ModelError(f"model {path} has no signature", expected=_EXPECTED)
    raise ModelError(
        f"model {path} has {len(signatures)} signatures: {', '.join(sorted(signatures))}",
        expected=" or ".join(_SIGNATURES),
        hint="export it again with one signature named serving_default",
    )


def _describe_load_error(error: Exception) -> str:
    description = describe_error(error)
    return description.partition(": ")[0] if "{" in description else description
