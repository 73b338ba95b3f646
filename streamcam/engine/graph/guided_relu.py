"""Guided gradients: every ReLU between the logit and the input lets only positive gradients through.

The rule is put on the operations of the graph while `tf.gradients` walks over them, and taken off again. So it holds
for a ReLU however it was written (a layer, ``activation="relu"``, a function called in ``call``), nothing of the model
is touched, and what was not found can be counted.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ...errors import MethodError
from ...tf import gradient_registry, tf
from .layer_trace import ancestors, descendants

_GRADIENT_NAME = "StreamcamGuided"
_ATTRIBUTE = "_gradient_op_type"
_WRAPPER_MODULE = tf.custom_gradient.__module__
_MAX_READERS = 16
"""How many readers are looked through for the sum that a ReLU may be a side of."""
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
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
    """``∂ score / ∂ pictures`` by guided backpropagation.

    Returns:
        The gradient, None where there is none, and how many ReLUs were guided, for the user.

    Raises:
        MethodError: there is no ReLU on the way, or only such as cannot be guided.
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
    opaque_calls = [operation for operation in operations if operation.type in _CALLS and _calls_relu(operation)]
    if opaque_calls:
        raise MethodError(
            f"{opaque_calls[0].name} has a ReLU inside a tf.function of its own, which cannot be guided",
            hint="take the tf.function off, or use --method saliency",
        )
    if not relus:
        raise MethodError(
            f"the model has no ReLU to guide; its activation is {', '.join(others) or 'none that is known'}",
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
            "the model's ReLUs are inside functions with a gradient of their own, which cannot be guided",
            hint="use --method saliency or smoothgrad",
        )
    if num_guided < len(relus):
        others.append(f"{_format_relu_count(len(relus) - num_guided)} that the gradient goes past")
    note = f"{_format_relu_count(num_guided)} guided"
    return gradient, f"{note}; {', '.join(others)} left as they are" if others else note


def _format_relu_count(count: int) -> str:
    return f"{count} ReLU{'s' if count != 1 else ''}"


def _is_recomputed(operation: Any) -> bool:
    """True for an identity whose gradient computes once more what lies before it (`tf.recompute_grad`).

    What is made on the way back would have ReLUs that nobody has guided. The plain gradient of what lies before is the
    same, but for the memory that a frozen graph has no use of saving.
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
        # No further than TensorFlow's own wrapping: a gradient of the user's may be made of anything.
        waiting += [
            one for one in closure_values if isinstance(one, FunctionType) and one.__module__ == _WRAPPER_MODULE
        ]
    return False


def _is_relu(operation: Any) -> bool:
    """True at the end of what counts as one ReLU: nothing but what is guided there is guided inside it."""
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
    """True for the two sides of a unit written as ``relu(x) − slope · relu(−x)``, whose sum is guided."""
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
    """The sides above and below zero that a sum joins: a ReLU of something, and a slope times one of its negative."""
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
    """What ``−x``, or ``−x + threshold``, is the negative of."""
    waiting = list(tensor.op.inputs) if tensor.op.type in ("AddV2", "Add") else [tensor]
    return [one.op.inputs[0] for one in waiting if one.op.type == "Neg"]


def _is_maximum_relu(operation: Any) -> bool:
    """``max(x, 0)``, also of ``min(x, 6)``.

    Other caps are as often those of gates, and of pictures that are kept in their range.
    """
    for zero, other in zip(operation.inputs, reversed(operation.inputs), strict=True):
        if not _is_filled_with(zero, 0):
            continue
        if other.op.type != "Minimum":
            return bool(other.op.type != "Relu")
        # max(min(relu(x), c), 0) is how Keras caps a ReLU: the ReLU itself is counted already.
        capped = next((one for one in other.op.inputs if tf.get_static_value(_source(one)) is None), None)
        if capped is None or capped.op.type in ("Relu", "Relu6") or _is_relu(capped.op):
            return False
        return any(_is_filled_with(one, 6) for one in other.op.inputs) and not _is_gate(capped)
    return False


def _is_gate(tensor: Any) -> bool:
    """``x + 3``, which a hard sigmoid is the sixth of: ``relu6(x + 3) / 6``."""
    return tensor.op.type in ("AddV2", "Add", "BiasAdd") and any(_is_filled_with(one, 3) for one in tensor.op.inputs)


def _is_filled_with(tensor: Any, number: float) -> bool:
    """True for a constant, of whatever shape, that is one number everywhere."""
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
    """``where(x > threshold, x, 0)``."""
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
            if node.op in _CALLS:
                waiting.append(node.attr["f"].func.name)
    return False
