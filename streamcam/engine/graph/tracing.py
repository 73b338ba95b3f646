"""Trace Python functions into graphs, and translate the errors of tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import MethodError, ModelError, error_summary
from ...geometry import Size
from ...methods import Maps
from ...tf import tf


def trace(function: Callable[..., Any], size: Size, *specifications: Any) -> Any:
    """Trace a Python function into a `tf.types.experimental.ConcreteFunction`.

    Args:
        function: takes and returns tensors; runs the model.
        size: ``(width, height)`` of the model input, for messages.
        *specifications: a `tf.TensorSpec` for each argument.

    Raises:
        ModelError: the model does not accept images of this size.
        MethodError: the model has an operation without a gradient.
    """
    try:
        # Without autograph: Keras runs the model, and converting its code again would only cost time.
        return tf.function(function, autograph=False).get_concrete_function(*specifications)
    except (LookupError, ValueError, TypeError, tf.errors.OpError) as error:
        if type(error) is LookupError:  # of TensorFlow's registry of gradients; a KeyError or IndexError is the model's
            raise MethodError(
                f"the model is not differentiable: {error_summary(error)}",
                hint="use a method without gradients, such as occlusion, scorecam or eigencam",
            ) from error
        raise ModelError(
            f"the model does not accept images of {size[0]}x{size[1]}: {error_summary(error)}",
            hint="check --fit and --preprocess",
        ) from error


def map_outputs(result: Any) -> list[Any]:
    """Return the outputs for the result of a method for one target.

    Args:
        result: `Maps`, or maps float32 ``(N, h, w)``.

    Returns:
        Maps float32 ``(N, h, w)``, then one tensor ``(N,)`` per quality metric.

    Raises:
        MethodError: the method did not return maps ``(N, h, w)``.
    """
    whole = result if isinstance(result, Maps) else Maps(result)
    if not tf.is_tensor(whole.maps) or whole.maps.shape.rank != 3:
        received = whole.maps.shape if tf.is_tensor(whole.maps) else type(whole.maps).__name__
        raise MethodError(f"the method returned {received}", expected="maps, a tensor (N, h, w)")
    return [tf.cast(whole.maps, tf.float32), *whole.quality_metrics.values()]


def quality_metric_names(result: Any) -> tuple[str, ...]:
    """Return the names of the quality metrics that come with the maps."""
    return tuple(result.quality_metrics) if isinstance(result, Maps) else ()
