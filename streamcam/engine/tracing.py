"""From Python to a graph, and the errors that come up on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import MethodError, ModelError
from ..geometry import Size
from ..methods import Maps
from ..models.backend import tf
from ..models.foreign import reason


def trace(function: Callable[..., Any], size: Size, *specifications: Any) -> Any:
    """The concrete function of some Python.

    Raises:
        ModelError: the model cannot be run on pictures of that size, or has an operation without a gradient.
    """
    try:
        # Without autograph: the model is Keras's to run, and a second reading of its code would only cost time.
        return tf.function(function, autograph=False).get_concrete_function(*specifications)
    except LookupError as error:
        raise MethodError(
            f"the model is not differentiable: {reason(error)}",
            do="use a method without gradients, such as occlusion, scorecam or eigencam",
        ) from error
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model cannot take pictures of {size[0]}x{size[1]}: {reason(error)}",
            do="check --fit and --preprocess",
        ) from error


def joined(results: Sequence[Any]) -> list[Any]:
    """What a method made for each target, as one tensor of maps ``(N, targets, h, w)`` and one a figure.

    Raises:
        MethodError: a method returned no maps ``(N, h, w)``.
    """
    whole = [result if isinstance(result, Maps) else Maps(result) for result in results]
    for result in whole:
        if not tf.is_tensor(result.maps) or result.maps.shape.rank != 3:
            came = result.maps.shape if tf.is_tensor(result.maps) else type(result.maps).__name__
            raise MethodError(f"the method returned {came}", wanted="maps, a tensor (N, h, w)")
    maps = tf.stack([tf.cast(result.maps, tf.float32) for result in whole], axis=1)
    return [maps, *(tf.stack([result.figures[name] for result in whole], axis=1) for name in figure_names(whole))]


def figure_names(results: Sequence[Any]) -> tuple[str, ...]:
    """Names of the figures that come with maps."""
    return tuple(results[0].figures) if isinstance(results[0], Maps) else ()
