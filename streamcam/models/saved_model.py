"""Load a SavedModel folder as a Keras model.

``model.export`` and ``tf.saved_model.save`` write such folders. A SavedModel is a graph without layers. Its signature
is frozen with every function inlined, so that a trace of the model contains its convolutions, activations and logits.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ..errors import ModelError, describe_error
from ..tf import convert_variables_to_constants_v2, keras, tf

_SIGNATURES = ("serving_default", "serve")
_EXPECTED = "a SavedModel folder as model.export(...) writes it"


class SavedModel(keras.Model):  # type: ignore[misc]
    """A frozen signature as a Keras model.

    ``inputs``, ``input`` and ``outputs`` are symbolic, as those of a functional model; ``outputs`` is None if the graph
    does not define their shape. Several inputs are a dict by name. Values for integer inputs are rounded and clipped to
    the range of the type.
    """

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


def load(path: Path) -> Any:
    """Load the model of a SavedModel folder.

    Uses the signature ``serving_default``, else ``serve``, else the only one.

    Args:
        path: the folder.

    Raises:
        ModelError: damaged, not of TensorFlow 2, no signature or several, or an input that is no plain tensor.
    """
    if not (path / "saved_model.pb").stat().st_size:
        raise ModelError(f"model {path} is damaged: its saved_model.pb is empty", expected=_EXPECTED)
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
        frozen = convert_variables_to_constants_v2(traced)
        return SavedModel(frozen, dict(zip(specifications, frozen.inputs, strict=True)))
    except Exception as error:
        raise ModelError(f"model {path} cannot be frozen: {_describe_load_error(error)}", expected=_EXPECTED) from error


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
