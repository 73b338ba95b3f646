"""Run the model alone, as fast as TensorFlow can: the lower bound of the cost of an explanation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from ...frames import RgbImage
from ...geometry import Size
from ...models import load_model
from ...options import ModelOptions
from ...tf import tf
from ..compiler.freeze import freeze
from ..graph.tracing import trace
from .devices import half_precision, resolve_devices


def fast_precisions(device: str) -> tuple[str, ...]:
    """Return the precisions to measure on a device: float32, then the half precision if there is one."""
    half = half_precision(resolve_devices(device))
    return ("float32", half) if half else ("float32",)


def load_forward(
    model: ModelOptions, size: Size, batch: int, precision: str, device: str, *, xla: bool = False
) -> Callable[[RgbImage], NDArray[Any]]:
    """Load a model, freeze and optimise it without an explanation; takes seconds.

    Call this before TensorFlow starts: it computes on one thread, which costs the least CPU time.

    Args:
        model: the model's options.
        size: ``(width, height)`` of the model input.
        batch: images per call.
        precision: one of `fast_precisions`.
        device: one of `list_devices`.
        xla: as for `FrozenGraph.load`; the first runs compile.

    Returns:
        A function ``uint8 (batch, height, width, 3)`` RGB → model output ``(batch, outputs)``; raises as `LoadedGraph`.

    Raises:
        ModelError: the model cannot be loaded, or does not accept the size.
        DeviceError: unknown device.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
    (device,) = resolve_devices(device)
    loaded = load_model(model)
    traced = trace(
        lambda images: [loaded.call(loaded.preprocess(tf.cast(images, tf.float32)))],
        size,
        tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8),
    )
    graph = freeze(traced).load(device, precision, xla=xla)
    return lambda images: graph(images)[0]
