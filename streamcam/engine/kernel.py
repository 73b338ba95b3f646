"""Model + method → one frozen function with a fixed input shape, from uint8 pictures to maps and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, LayerError, ModelError
from ..frames import Pixels
from ..geometry import Size
from ..methods import Method, Traced
from ..models.backend import tf
from .devices import arithmetic, tensorflow_name
from .freeze import freeze
from .graph import LayerInfo, choose_layer, survey

TOP = 5
"""How many of the most probable classes are kept of each frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the kernel says of ``n`` pictures.

    Attributes:
        maps: raw evidence, float32 ``(n, h, w)``.
        targets: class explained, int64 ``(n,)``.
        logits, probabilities: of that class, float32 ``(n,)``.
        top_classes, top_probabilities: int32 and float32 ``(n, up to TOP)``, best first.
    """

    maps: NDArray[np.float32]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top_classes: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A compiled explanation. Callable from one thread at a time.

    Attributes:
        size: ``(width, height)`` of the pictures.
        batch: how many pictures each run takes; fewer are padded, so that nothing is ever traced again.
        layer: path of the target layer.
        layers: what tracing the model showed of each layer.
        precision: of the arithmetic; the maps are float32.
        device: where it runs.
        note: what the user should know of the model's end; usually nothing.
    """

    function: Callable[[Any], list[Any]]
    size: Size
    batch: int
    layer: str
    layers: tuple[LayerInfo, ...]
    precision: str
    device: str
    note: str = ""

    def __call__(self, images: Pixels) -> Look:
        """Explains up to ``batch`` pictures, ``uint8 (n, height, width, 3)`` RGB.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        count = len(images)
        if count < self.batch:
            padding = np.broadcast_to(images[-1:], (self.batch - count, *images.shape[1:]))
            images = np.concatenate([images, padding])
        try:
            with tf.device(tensorflow_name(self.device)), arithmetic(self.precision):
                outputs = self.function(tf.constant(images))
                return Look(*(output.numpy()[:count] for output in outputs))
        except tf.errors.ResourceExhaustedError as error:
            raise DeviceError(
                f"{self.device} has not enough memory for {self.batch} frames at once", do="use a smaller --batch"
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(f"the model failed: {error.message}") from error


def build_kernel(
    model: Any,
    preprocess: Callable[[Any], Any],
    method: Method,
    *,
    layer: str,
    target: int | None,
    size: Size,
    batch: int,
    precision: str,
    device: str,
) -> Kernel:
    """Traces, freezes and folds; takes seconds. The model is left as it was and is not needed afterwards.

    Args:
        model: a Keras classifier.
        preprocess: float32 ``(N, H, W, 3)`` RGB 0–255 → what the model takes.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        target: class index; None explains each picture's most probable class.
        size: ``(width, height)`` of the pictures.
        batch: pictures a run.
        precision: ``float32`` or ``bfloat16``.
        device: as from `choose_device`.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        ModelError: the model cannot be run on such pictures.
    """
    seen: list[tuple[str, tuple[LayerInfo, ...], str, str]] = []

    def look(images: Any) -> list[Any]:
        surveyed = survey(model, preprocess(tf.cast(images, tf.float32)))
        chosen = choose_layer(layer, surveyed.rows)
        seen.append((chosen, surveyed.rows, surveyed.grids[chosen].dtype.name, surveyed.head.note))
        logits, probabilities = surveyed.head.logits, surveyed.head.probabilities
        targets = tf.argmax(logits, axis=1) if target is None else tf.fill([batch], tf.constant(target, tf.int64))
        score = tf.gather(logits, targets, batch_dims=1)
        grid = surveyed.grids[chosen]
        maps = method(Traced(tf.cast(grid, tf.float32), score, lambda: _gradient(score, grid)))
        best = tf.math.top_k(probabilities, k=min(TOP, probabilities.shape[1]))
        return [maps, targets, score, tf.gather(probabilities, targets, batch_dims=1), best.indices, best.values]

    traced = _trace(look, size, batch)
    chosen, rows, own, note = seen[-1]
    return Kernel(freeze(traced), size, batch, chosen, rows, own if own != "float32" else precision, device, note)


def trace_layers(model: Any, preprocess: Callable[[Any], Any], size: Size) -> tuple[LayerInfo, ...]:
    """What a model's layers are good for, without compiling anything.

    Raises:
        ModelError: the model cannot be run on pictures of that size.
    """
    rows: list[tuple[LayerInfo, ...]] = []

    def look(images: Any) -> Any:
        surveyed = survey(model, preprocess(tf.cast(images, tf.float32)))
        rows.append(surveyed.rows)
        return surveyed.head.logits

    _trace(look, size, 1)
    return rows[-1]


def _trace(look: Callable[[Any], Any], size: Size, batch: int) -> Any:
    specification = tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8)
    try:
        # Without autograph: the model is Keras's to run, and a second reading of its code would only cost time.
        return tf.function(look, autograph=False).get_concrete_function(specification)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model cannot take pictures of {size[0]}x{size[1]}: {_first_line(error)}",
            do="check --fit and --preprocess",
        ) from error


def _gradient(score: Any, grid: Any) -> Any:
    # tf.gradients walks the graph that is there, from the score back to the grid and no further, whichever way
    # the model was built; a tape would have to be open while the model runs.
    (gradient,) = tf.gradients(score, grid)
    if gradient is None:
        raise LayerError("no gradient reaches the target layer: something behind it stops it", do="use a later --layer")
    return tf.cast(gradient, tf.float32)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
