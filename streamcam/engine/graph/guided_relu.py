"""Guided backpropagation: every ReLU between the logit and the input passes positive gradients only.

Override the gradient of the ReLU operations in the graph while `tf.gradients` runs, then remove the override. This
covers a ReLU however it is written (a layer, ``activation="relu"``, a function called in ``call``), leaves the model
unchanged, and allows counting the ReLUs that were not reached.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ...errors import MethodError
from ...tf import gradient_registry, tf
from .functions import CALLS
from .layer_trace import ancestors, descendants

_GRADIENT_NAME = "StreamcamGuided"
_ATTRIBUTE = "_gradient_op_type"
_WRAPPER_MODULE = tf.custom_gradient.__module__
_MAX_READERS = 16
"""Readers searched for the sum in which a ReLU may be one operand."""
_OTHER_ACTIVATIONS = {
    "Sigmoid": "sigmoid (as in SiLU)",
    "Erf": "erf (as in GELU)",
    "Erfc": "erf (as in GELU)",
    "Tanh": "tanh",
    "Elu": "ELU",
    "Selu": "SELU",
    "Softplus": "softplus (as in Mish)",
    "Softsign": "softsign",
}


def _guide_relu(operation: Any, gradient: Any) -> Any:
    operation.graph.add_to_collection(_GRADIENT_NAME, operation.name)
    return gradient_registry.lookup(operation.type)(operation, tf.nn.relu(gradient))


tf.RegisterGradient(_GRADIENT_NAME)(_guide_relu)


def guided_gradient(score: Any, images: Any) -> tuple[Any, str]:
    """Build ``∂ score / ∂ images`` by guided backpropagation.

    Args:
        score: symbolic float32 ``(N,)``.
        images: symbolic model input ``(N, H, W, 3)``, in the same graph.

    Returns:
        The gradient, or None if the score does not depend on the images; and a note with the number of guided ReLUs.

    Raises:
        MethodError: no ReLU lies between images and score, or none that can be guided.
    """
    between = ancestors(score) & descendants(images)
    operations = [
        operation
        for operation in score.graph.get_operations()
        if any(output.name in between for output in operation.outputs)
    ]
    relus = [operation for operation in operations if _is_relu(operation)]
    others = sorted(
        {_OTHER_ACTIVATIONS[operation.type] for operation in operations if operation.type in _OTHER_ACTIVATIONS}
    )
    opaque_calls = [operation for operation in operations if operation.type in CALLS and _calls_relu(operation)]
    if opaque_calls:
        raise MethodError(
            f"{opaque_calls[0].name} has a ReLU inside its own tf.function, which cannot be guided",
            hint="remove the tf.function, or use --method saliency",
        )
    if not relus:
        raise MethodError(
            f"the model has no ReLU to guide (activation: {', '.join(others) or 'unknown'})",
            expected="a network of ReLUs",
            hint="use --method saliency or smoothgrad",
        )
    recomputed = {one: one.get_attr(_ATTRIBUTE) for one in operations if _is_recomputed(one)}
    for operation in relus:
        operation._set_attr(_ATTRIBUTE, tf.compat.v1.AttrValue(s=_GRADIENT_NAME.encode()))
    for operation in recomputed:
        operation._clear_attr(_ATTRIBUTE)
    try:
        (gradient,) = tf.gradients(score, images)
        num_guided = len(set(score.graph.get_collection(_GRADIENT_NAME)))
    finally:
        score.graph.clear_collection(_GRADIENT_NAME)
        for operation in relus:
            operation._clear_attr(_ATTRIBUTE)
        for operation, name in recomputed.items():
            operation._set_attr(_ATTRIBUTE, tf.compat.v1.AttrValue(s=name))
    if gradient is not None and not num_guided:
        raise MethodError(
            "the model's ReLUs are inside functions with a custom gradient, which cannot be guided",
            hint="use --method saliency or smoothgrad",
        )
    if num_guided < len(relus):
        others.append(f"{_format_relu_count(len(relus) - num_guided)} off the gradient path")
    note = f"{_format_relu_count(num_guided)} guided"
    return gradient, f"{note}; {', '.join(others)} unchanged" if others else note


def _format_relu_count(count: int) -> str:
    return f"{count} ReLU{'s' if count != 1 else ''}"


def _is_recomputed(operation: Any) -> bool:
    """Return True for an identity whose gradient recomputes the forward pass (`tf.recompute_grad`).

    The recomputed operations would contain unguided ReLUs. The plain gradient of the original operations has the same
    value; it only needs more memory, which does not matter in a frozen graph.
    """
    try:
        waiting = [gradient_registry.lookup(operation.get_attr(_ATTRIBUTE).decode())]
    except (ValueError, LookupError):
        return False
    name = tf.recompute_grad.__name__
    while waiting:
        function = waiting.pop()
        if function.__qualname__.startswith(f"{name}."):
            return True
        closure_values = [cell.cell_contents for cell in function.__closure__ or ()]
        # Follow TensorFlow's own wrappers only: a user's gradient may close over anything.
        waiting += [
            one for one in closure_values if isinstance(one, FunctionType) and one.__module__ == _WRAPPER_MODULE
        ]
    return False


def _is_relu(operation: Any) -> bool:
    """Return True for the last operation of a ReLU; the operations inside it are not guided again."""
    if not (operation.outputs and operation.outputs[0].dtype.is_floating):
        return False  # indices of classes are clipped, too
    match operation.type:
        case "Relu" | "Relu6" | "LeakyRelu" | "SelectV2" if _is_relu_part(operation):
            return False
        case "Relu" | "LeakyRelu":
            return True
        case "Relu6":
            return not _is_gate(operation.inputs[0])
        case "Maximum":
            return _is_maximum_relu(operation)
        case "SelectV2":
            return _is_threshold_relu(operation)
        case "AddV2" | "Sub":
            return bool(_relu_parts(operation))
    return False


def _is_relu_part(operation: Any) -> bool:
    """Return True for an operand of ``relu(x) − slope · relu(−x)``, whose sum is guided instead."""
    waiting, seen = list(operation.outputs), 0
    while waiting and seen < _MAX_READERS:
        for reader in waiting.pop().consumers():
            seen += 1
            if reader.type in ("AddV2", "Sub") and operation in _relu_parts(reader):
                return True
            if reader.type in ("Mul", "Minimum", "Maximum"):
                waiting.extend(reader.outputs)
    return False


def _relu_parts(operation: Any) -> list[Any]:
    """Return the operands of ``relu(x) − slope · relu(−x)``; empty for another sum."""
    for scaled, other in zip(operation.inputs, reversed(operation.inputs), strict=True):
        while other.op.type in ("Minimum", "Maximum"):
            other = other.op.inputs[0]
        if scaled.op.type != "Mul" or other.op.type not in ("Relu", "Relu6", "SelectV2"):
            continue
        above = other.op.inputs[1 if other.op.type == "SelectV2" else 0]
        for tensor in scaled.op.inputs:
            if tensor.op.type == "Relu" and any(one is above for one in _negation_operands(tensor.op.inputs[0])):
                return [other.op, tensor.op]
    return []


def _negation_operands(tensor: Any) -> list[Any]:
    """Return ``x`` of ``−x`` or of ``−x + threshold``."""
    waiting = list(tensor.op.inputs) if tensor.op.type in ("AddV2", "Add") else [tensor]
    return [one.op.inputs[0] for one in waiting if one.op.type == "Neg"]


def _is_maximum_relu(operation: Any) -> bool:
    """Return True for ``max(x, 0)`` and ``max(min(x, 6), 0)``.

    Other caps are as likely to belong to gates, or to images clipped to their range.
    """
    for zero, other in zip(operation.inputs, reversed(operation.inputs), strict=True):
        if not _is_filled_with(zero, 0):
            continue
        if other.op.type != "Minimum":
            return bool(other.op.type != "Relu")
        # Keras writes a capped ReLU as max(min(relu(x), c), 0): the inner ReLU already counts.
        capped = next((one for one in other.op.inputs if tf.get_static_value(_source(one)) is None), None)
        if capped is None or capped.op.type in ("Relu", "Relu6") or _is_relu(capped.op):
            return False
        return any(_is_filled_with(one, 6) for one in other.op.inputs) and not _is_gate(capped)
    return False


def _is_gate(tensor: Any) -> bool:
    """Return True for ``x + 3``, the input of a hard sigmoid ``relu6(x + 3) / 6``."""
    return tensor.op.type in ("AddV2", "Add", "BiasAdd") and any(_is_filled_with(one, 3) for one in tensor.op.inputs)


def _is_filled_with(tensor: Any, number: float) -> bool:
    """Return True for a constant whose elements all equal ``number``."""
    tensor = _source(tensor)
    if tensor.op.type == "ZerosLike":
        return number == 0
    value = tf.get_static_value(tensor)
    return value is not None and value.size > 0 and bool((value == number).all())


def _source(tensor: Any) -> Any:
    while tensor.op.type in ("Cast", "Identity"):
        tensor = tensor.op.inputs[0]
    return tensor


def _is_threshold_relu(operation: Any) -> bool:
    """Return True for ``where(x > threshold, x, 0)``."""
    condition, value, other = operation.inputs
    return bool(
        condition.op.type in ("Greater", "GreaterEqual")
        and condition.op.inputs[0] is value
        and _is_filled_with(other, 0)
    )


def _calls_relu(operation: Any) -> bool:
    name = operation.get_attr("f").name
    functions = {f.signature.name: f for f in operation.graph.as_graph_def().library.function}
    waiting, seen = [name], set()
    while waiting:
        function = functions.get(waiting.pop())
        if function is None or function.signature.name in seen:
            continue
        seen.add(function.signature.name)
        for node in function.node_def:
            if node.op in ("Relu", "Relu6", "LeakyRelu"):
                return True
            if node.op in CALLS:
                waiting.append(node.attr["f"].func.name)
    return False
