"""Guided gradients: every ReLU between the logit and the input lets only positive gradients through.

The rule is put on the operations of the graph while `tf.gradients` walks over them, and taken off again. So it holds
for a ReLU however it was written (a layer, ``activation="relu"``, a function called in ``call``), nothing of the model
is touched, and what was not found can be counted.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ..errors import MethodError
from ..models.backend import gradient_registry, tf
from .graph import depends_on, readers_of

_RULE = "StreamcamGuided"
_ATTRIBUTE = "_gradient_op_type"
_WRAPPING = tf.custom_gradient.__module__
_READERS = 16
"""How many readers are looked through for the sum that a ReLU may be a side of."""
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_OTHERS = {
    "Sigmoid": "sigmoid (as in SiLU)",
    "Erf": "erf (as in GELU)",
    "Erfc": "erf (as in GELU)",
    "Tanh": "tanh",
    "Elu": "ELU",
    "Selu": "SELU",
    "Softplus": "softplus (as in Mish)",
    "Softsign": "softsign",
}


def _guided(operation: Any, gradient: Any) -> Any:
    operation.graph.add_to_collection(_RULE, operation.name)
    return gradient_registry.lookup(operation.type)(operation, tf.nn.relu(gradient))


tf.RegisterGradient(_RULE)(_guided)


def guided_gradient(score: Any, pictures: Any) -> tuple[Any, str]:
    """``∂ score / ∂ pictures`` by guided backpropagation.

    Returns:
        The gradient, None where there is none, and how many ReLUs were guided, for the user.

    Raises:
        MethodError: there is no ReLU on the way, or only such as cannot be guided.
    """
    between = depends_on(score) & readers_of(pictures)
    operations = [
        operation
        for operation in score.graph.get_operations()
        if any(output.name in between for output in operation.outputs)
    ]
    guided = [operation for operation in operations if _is_unit(operation)]
    others = sorted({_OTHERS[operation.type] for operation in operations if operation.type in _OTHERS})
    enclosed = [operation for operation in operations if operation.type in _CALLS and _calls_relu(operation)]
    if enclosed:
        raise MethodError(
            f"{enclosed[0].name} has a ReLU inside a tf.function of its own, which cannot be guided",
            do="take the tf.function off, or use --method saliency",
        )
    if not guided:
        raise MethodError(
            f"the model has no ReLU to guide; its activation is {', '.join(others) or 'none that is known'}",
            wanted="a network of ReLUs",
            do="use --method saliency or smoothgrad",
        )
    recomputed = {one: one.get_attr(_ATTRIBUTE) for one in operations if _is_recomputed(one)}
    for operation in guided:
        operation._set_attr(_ATTRIBUTE, tf.compat.v1.AttrValue(s=_RULE.encode()))
    for operation in recomputed:
        operation._clear_attr(_ATTRIBUTE)
    try:
        (gradient,) = tf.gradients(score, pictures)
        reached = len(set(score.graph.get_collection(_RULE)))
    finally:
        score.graph.clear_collection(_RULE)
        for operation in guided:
            operation._clear_attr(_ATTRIBUTE)
        for operation, name in recomputed.items():
            operation._set_attr(_ATTRIBUTE, tf.compat.v1.AttrValue(s=name))
    if gradient is not None and not reached:
        raise MethodError(
            "the model's ReLUs are inside functions with a gradient of their own, which cannot be guided",
            do="use --method saliency or smoothgrad",
        )
    if reached < len(guided):
        others.append(f"{_counted(len(guided) - reached)} that the gradient goes past")
    note = f"{_counted(reached)} guided"
    return gradient, f"{note}; {', '.join(others)} left as they are" if others else note


def _counted(count: int) -> str:
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
        held = [cell.cell_contents for cell in function.__closure__ or ()]
        # No further than TensorFlow's own wrapping: a gradient of the user's may be made of anything.
        waiting += [one for one in held if isinstance(one, FunctionType) and one.__module__ == _WRAPPING]
    return False


def _is_unit(operation: Any) -> bool:
    """True at the end of what counts as one ReLU: nothing but what is guided there is guided inside it."""
    match operation.type:
        case "Relu" | "Relu6" | "LeakyRelu" | "SelectV2" if _is_part(operation):
            return False
        case "Relu" | "LeakyRelu":
            return True
        case "Relu6":
            return not _is_gated(operation.inputs[0])
        case "Maximum":
            return _is_rectified(operation)
        case "SelectV2":
            return _is_threshold(operation)
        case "AddV2" | "Sub":
            return bool(_parts(operation))
    return False


def _is_part(operation: Any) -> bool:
    """True for the two sides of a unit written as ``relu(x) − slope · relu(−x)``, whose sum is guided."""
    waiting, seen = list(operation.outputs), 0
    while waiting and seen < _READERS:
        for reader in waiting.pop().consumers():
            seen += 1
            if reader.type in ("AddV2", "Sub") and operation in _parts(reader):
                return True
            if reader.type in ("Mul", "Minimum", "Maximum"):
                waiting.extend(reader.outputs)
    return False


def _parts(operation: Any) -> list[Any]:
    """The sides above and below zero that a sum joins: a ReLU of something, and a slope times one of its negative."""
    for scaled, other in zip(operation.inputs, reversed(operation.inputs), strict=True):
        while other.op.type in ("Minimum", "Maximum"):
            other = other.op.inputs[0]
        if scaled.op.type != "Mul" or other.op.type not in ("Relu", "Relu6", "SelectV2"):
            continue
        above = other.op.inputs[1 if other.op.type == "SelectV2" else 0]
        for tensor in scaled.op.inputs:
            if tensor.op.type == "Relu" and any(one is above for one in _negated(tensor.op.inputs[0])):
                return [other.op, tensor.op]
    return []


def _negated(tensor: Any) -> list[Any]:
    """What ``−x``, or ``−x + threshold``, is the negative of."""
    waiting = list(tensor.op.inputs) if tensor.op.type in ("AddV2", "Add") else [tensor]
    return [one.op.inputs[0] for one in waiting if one.op.type == "Neg"]


def _is_rectified(operation: Any) -> bool:
    """``max(x, 0)``, also of ``min(x, 6)``.

    Other caps are as often those of gates, and of pictures that are kept in their range.
    """
    for zero, other in zip(operation.inputs, reversed(operation.inputs), strict=True):
        if not _is_only(zero, 0):
            continue
        if other.op.type != "Minimum":
            return bool(other.op.type != "Relu")
        # max(min(relu(x), c), 0) is how Keras caps a ReLU: the ReLU itself is counted already.
        capped = next((one for one in other.op.inputs if tf.get_static_value(_source(one)) is None), None)
        if capped is None or capped.op.type in ("Relu", "Relu6") or _is_unit(capped.op):
            return False
        return any(_is_only(one, 6) for one in other.op.inputs) and not _is_gated(capped)
    return False


def _is_gated(tensor: Any) -> bool:
    """``x + 3``, which a hard sigmoid is the sixth of: ``relu6(x + 3) / 6``."""
    return tensor.op.type in ("AddV2", "Add", "BiasAdd") and any(_is_only(one, 3) for one in tensor.op.inputs)


def _is_only(tensor: Any, number: float) -> bool:
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


def _is_threshold(operation: Any) -> bool:
    """``where(x > threshold, x, 0)``."""
    condition, value, other = operation.inputs
    return bool(
        condition.op.type in ("Greater", "GreaterEqual") and condition.op.inputs[0] is value and _is_only(other, 0)
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
