"""Trace Python functions into graphs, and translate the errors of tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    except LookupError as error:
        raise MethodError(
            f"the model is not differentiable: {error_summary(error)}",
            hint="use a method without gradients, such as occlusion, scorecam or eigencam",
        ) from error
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model does not accept images of {size[0]}x{size[1]}: {error_summary(error)}",
            hint="check --fit and --preprocess",
        ) from error


def stack_targets(results: Sequence[Any]) -> list[Any]:
    """Stack the results of a method over the targets.

    Args:
        results: return value of the method for each target: `Maps`, or maps float32 ``(N, h, w)``.

    Returns:
        Maps float32 ``(N, targets, h, w)``, then one tensor ``(N, targets)`` per quality metric.

    Raises:
        MethodError: the method did not return maps ``(N, h, w)``.
    """
    whole = [result if isinstance(result, Maps) else Maps(result) for result in results]
    for result in whole:
        if not tf.is_tensor(result.maps) or result.maps.shape.rank != 3:
            received = result.maps.shape if tf.is_tensor(result.maps) else type(result.maps).__name__
            raise MethodError(f"the method returned {received}", expected="maps, a tensor (N, h, w)")
    maps = tf.stack([tf.cast(result.maps, tf.float32) for result in whole], axis=1)
    return [
        maps,
        *(tf.stack([result.quality_metrics[name] for result in whole], axis=1) for name in quality_metric_names(whole)),
    ]


def quality_metric_names(results: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of the quality metrics that come with the maps."""
    return tuple(results[0].quality_metrics) if isinstance(results[0], Maps) else ()
