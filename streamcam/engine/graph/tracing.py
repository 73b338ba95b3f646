"""From Python to a graph, and the errors that come up on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import MethodError, ModelError
from ...geometry import Size
from ...imports import error_summary
from ...methods import Maps
from ...tf import tf


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
            f"the model is not differentiable: {error_summary(error)}",
            hint="use a method without gradients, such as occlusion, scorecam or eigencam",
        ) from error
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model cannot take pictures of {size[0]}x{size[1]}: {error_summary(error)}",
            hint="check --fit and --preprocess",
        ) from error


def stack_targets(results: Sequence[Any]) -> list[Any]:
    """What a method made for each target, as one tensor of maps ``(N, targets, h, w)`` and one a figure.

    Raises:
        MethodError: a method returned no maps ``(N, h, w)``.
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
    """Names of the figures that come with maps."""
    return tuple(results[0].quality_metrics) if isinstance(results[0], Maps) else ()
