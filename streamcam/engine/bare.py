"""The model by itself, as fast as TensorFlow runs it here: what no explanation can be cheaper than."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ModelOptions
from ..errors import DeviceError
from ..frames import Pixels
from ..geometry import Size
from ..models import load_model
from ..models.backend import tf
from .devices import arithmetic, choose_device, processor_has_bfloat16, tensorflow_name
from .freeze import freeze
from .tracing import trace


def bare_precisions(device: str) -> tuple[str, ...]:
    """The precisions that are fast on a device, the exact one first."""
    if device.startswith("gpu"):
        return "float32", "float16"
    return ("float32", "bfloat16") if processor_has_bfloat16() else ("float32",)


def load_bare(
    model: ModelOptions, size: Size, batch: int, precision: str, device: str
) -> Callable[[Pixels], NDArray[Any]]:
    """A model frozen and folded, with nothing explained; takes seconds.

    To be called before anything else of TensorFlow, as it computes on one thread: that costs the least CPU time.

    Args:
        model: which.
        size: ``(width, height)`` of the pictures.
        batch: pictures a call.
        precision: one of `bare_precisions`.
        device: as from `devices`.

    Returns:
        ``uint8 (batch, height, width, 3)`` RGB → the model's answers ``(batch, outputs)``. Raises `DeviceError` where
        the device's memory is too small.

    Raises:
        ModelError: the model cannot be loaded, or run on such pictures.
        DeviceError: there is no such device.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
    device = choose_device(device)
    loaded = load_model(model)
    traced = trace(
        lambda images: [loaded.call(loaded.preprocess(tf.cast(images, tf.float32)))],
        size,
        tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8),
    )
    frozen = freeze(traced)

    def forward(images: Pixels) -> NDArray[Any]:
        try:
            with tf.device(tensorflow_name(device)), _arithmetic(precision):
                return np.asarray(frozen(tf.constant(images))[0].numpy())
        except tf.errors.ResourceExhaustedError as error:
            raise DeviceError(f"{device} has not enough memory for {batch} frames at once") from error

    return forward


@contextlib.contextmanager
def _arithmetic(precision: str) -> Iterator[None]:
    """As `arithmetic`, and ``float16`` on GPUs."""
    if precision != "float16":
        with arithmetic(precision):
            yield
        return
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision": False})
