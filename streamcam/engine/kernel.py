"""Model + method → frozen functions with a fixed input shape, from uint8 pictures to maps and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, ModelError
from ..frames import Pixels
from ..geometry import Size
from ..methods import Method, Steps
from ..models.backend import tf
from ..models.load import LoadedModel
from ..models.targets import Target
from .devices import arithmetic, tensorflow_name
from .freeze import freeze
from .layers import LayerInfo, survey
from .passes import Pass, Wanted, prepared
from .steps import Passes, Progress, build_passes
from .tracing import figure_names, joined, trace

T = TypeVar("T")

TOP = 5
"""How many of the most probable classes are kept of each frame."""

INPUT = "input"
"""Stands for the layer where a method explains the pixels themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the kernel says of ``n`` pictures and ``t`` targets.

    Attributes:
        maps: raw evidence, float32 ``(n, t, h, w)``.
        classes: classes explained, int64 ``(n, t)``; −1 for a target that is no class.
        scores: what was explained, in logits, float32 ``(n, t)``.
        probabilities: of the classes, float32 ``(n, t)``; NaN for a target that is no class.
        top_classes, top_probabilities: int32 and float32 ``(n, up to TOP)``, best first.
        figures: what the method says of its maps' quality, float32 ``(n, t)`` each, by name.
    """

    maps: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top_classes: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]
    figures: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A compiled explanation. Callable from one thread at a time.

    Attributes:
        first: images → classes, scores, probabilities, top classes and their probabilities, and then the maps (and
            figures), or what the passes begin with.
        size: ``(width, height)`` of the pictures.
        batch: how many pictures each run takes; fewer are padded, so that nothing is ever traced again.
        layer: path of the target layer, or `INPUT`.
        layers: what tracing the model showed of each layer.
        precision: of the arithmetic; the maps are float32.
        device: where it runs.
        passes: the further passes of methods that need many.
        figures: names of the figures.
        backwards: True where gradients go all the way back to the input.
        notes: what the user should know.
    """

    first: Callable[[Any], list[Any]]
    size: Size
    batch: int
    layer: str
    layers: tuple[LayerInfo, ...]
    precision: str
    device: str
    passes: Passes | None = None
    figures: tuple[str, ...] = ()
    backwards: bool = False
    notes: tuple[str, ...] = ()

    def __call__(self, images: Pixels, progress: Progress | None = None) -> Look:
        """Explains up to ``batch`` pictures, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the pictures.
            progress: called with passes done and passes in all, where there are many; what it raises goes up.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        count = len(images)
        return self._guarded(lambda: self._looked(self._padded(images), count, progress))

    def sample(self, images: Pixels) -> NDArray[np.float32]:
        """Something cheap that tells precisions apart, float32 ``(n, …)``: the maps, or a few of many passes."""
        count = len(images)

        def sampled() -> NDArray[np.float32]:
            images_ = self._padded(images)
            outputs = self.first(tf.constant(images_))
            if self.passes is None:
                return np.asarray(outputs[5].numpy()[:count])
            return self.passes.sample(outputs, count)

        return self._guarded(sampled)

    @property
    def compares_scores(self) -> bool:
        """True where maps are differences between the scores of many passes."""
        return self.passes is not None and not self.passes.mean

    def _padded(self, images: Pixels) -> Pixels:
        missing = self.batch - len(images)
        if not missing:
            return images
        return np.concatenate([images, np.broadcast_to(images[-1:], (missing, *images.shape[1:]))])

    def _looked(self, images: Pixels, count: int, progress: Progress | None) -> Look:
        outputs = self.first(tf.constant(images))
        found = outputs[5:] if self.passes is None else self.passes(outputs, count, progress)
        maps, *figures = (tensor.numpy()[:count] for tensor in found)
        classes, scores, probabilities, best, values = (tensor.numpy()[:count] for tensor in outputs[:5])
        named = dict(zip(self.figures, figures, strict=True))
        return Look(maps, classes, scores, probabilities, best, values, named)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            with tf.device(tensorflow_name(self.device)), arithmetic(self.precision):
                return work()
        except tf.errors.ResourceExhaustedError as error:
            raise DeviceError(
                f"{self.device} has not enough memory for {self.batch} frames at once", do="use a smaller --batch"
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(f"the model failed: {error.message}") from error


def build_kernel(
    loaded: LoadedModel,
    method: Method,
    *,
    layer: str,
    targets: tuple[Target, ...],
    size: Size,
    batch: int,
    precision: str,
    device: str,
    rows: int = 0,
) -> Kernel:
    """Traces, freezes and folds; takes seconds. The model is left as it was and is not needed afterwards.

    Args:
        loaded: a classifier.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        targets: what to explain, all of it from one forward pass.
        size: ``(width, height)`` of the pictures.
        batch: pictures a run.
        precision: ``float32`` or ``bfloat16``.
        device: as from `choose_device`.
        rows: passes a run, for methods of many; 0 is ``batch``.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        MethodError: the method cannot be used on this model.
        TargetError: a target's function fails.
        ModelError: the model cannot be run on such pictures.
    """
    wanted = Wanted(loaded, method, layer, targets, size)
    traces: list[list[Any]] = []

    def look(images: Any) -> list[Any]:
        one = Pass(wanted, prepared(wanted, images))
        probabilities = one.head.probabilities
        best = tf.math.top_k(probabilities, k=min(TOP, probabilities.shape[1]))
        told = [one.classes, one.scores, one.probabilities(), best.indices, best.values]
        results = one.results()
        traces.append(results)
        if isinstance(results[0], Steps):
            many = cast(list[Steps], results)
            return [*told, *many[0].state, *(tensor for steps in many for tensor in steps.own)]
        return [*told, *joined(results)]

    traced = trace(look, size, tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8))
    results = traces[-1]
    passes, figures = None, figure_names(results)
    if isinstance(results[0], Steps):
        passes = build_passes(wanted, results, traced, batch, rows or batch)
        figures = passes.figures
    assert wanted.survey is not None
    own = wanted.survey.dtype
    return Kernel(
        first=freeze(traced),
        size=size,
        batch=batch,
        layer=wanted.chosen or INPUT,
        layers=wanted.survey.rows,
        precision=own if own != "float32" else precision,
        device=device,
        passes=passes,
        figures=figures,
        backwards=wanted.backwards,
        notes=tuple(wanted.notes),
    )


def trace_layers(loaded: LoadedModel, size: Size) -> tuple[LayerInfo, ...]:
    """What a model's layers are good for, without compiling anything.

    Raises:
        ModelError: the model cannot be run on pictures of that size.
    """
    rows: list[tuple[LayerInfo, ...]] = []

    def look(images: Any) -> Any:
        surveyed = survey(loaded.model, loaded.call, loaded.preprocess(tf.cast(images, tf.float32)))
        rows.append(surveyed.rows)
        return surveyed.head.logits

    trace(look, size, tf.TensorSpec((1, size[1], size[0], 3), tf.uint8))
    return rows[-1]
