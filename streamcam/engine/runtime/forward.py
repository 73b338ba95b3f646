"""The model by itself, as fast as TensorFlow runs it here: what no explanation can be cheaper than."""

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
    """The precisions that are fast on a device, the exact one first."""
    half = half_precision(resolve_devices(device))
    return ("float32", half) if half else ("float32",)


def load_forward(
    model: ModelOptions, size: Size, batch: int, precision: str, device: str
) -> Callable[[RgbImage], NDArray[Any]]:
    """A model frozen and folded, with nothing explained; takes seconds.

    To be called before anything else of TensorFlow, as it computes on one thread: that costs the least CPU time.

    Args:
        model: which.
        size: ``(width, height)`` of the pictures.
        batch: pictures a call.
        precision: one of `fast_precisions`.
        device: as from `list_devices`.

    Returns:
        ``uint8 (batch, height, width, 3)`` RGB → the model's answers ``(batch, outputs)``. Raises as `LoadedGraph`.

    Raises:
        ModelError: the model cannot be loaded, or run on such pictures.
        DeviceError: there is no such device.
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
    graph = freeze(traced).load(device, precision)
    return lambda images: graph(images)[0]
