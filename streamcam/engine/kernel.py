"""Model + method → frozen programs with a fixed input shape, from uint8 pictures to maps and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..frames import Pixels
from ..geometry import Size
from ..methods import Method, Steps
from ..models.backend import tf
from ..models.load import LoadedModel
from ..models.targets import Target
from .freeze import freeze
from .layers import LayerInfo, survey
from .passes import Pass, Wanted, prepared
from .program import Program
from .steps import Passes, PassesPlan, Progress, plan_passes
from .tracing import figure_names, joined, trace

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
    """An explanation ready to run on a device. Callable from several threads at a time.

    Attributes:
        first: images → classes, scores, probabilities, top classes and their probabilities, and then the maps (and
            figures), or what the passes begin with.
        plan: what it was made from.
        precision: of the arithmetic; the maps are float32.
        device: where it runs.
        passes: the further passes of methods that need many.
    """

    first: Callable[..., list[Any]]
    plan: Plan
    precision: str
    device: str
    passes: Passes | None = None

    @property
    def size(self) -> Size:
        """``(width, height)`` of the pictures."""
        return self.plan.size

    @property
    def batch(self) -> int:
        """How many pictures each run takes; fewer are padded, so that nothing is ever traced again."""
        return self.plan.batch

    @property
    def layer(self) -> str:
        """Path of the target layer, or `INPUT`."""
        return self.plan.layer

    def __call__(self, images: Pixels, progress: Progress | None = None) -> Look:
        """Explains up to ``batch`` pictures, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the pictures.
            progress: called with passes done and passes in all, where there are many; what it raises goes up.

        Raises:
            DeviceError: the device's memory is too small for the batch.
            ModelError: the model failed.
        """
        return self._looked(self._padded(images), len(images), progress)

    def sample(self, images: Pixels) -> NDArray[np.float32]:
        """Something cheap that tells precisions apart, float32 ``(n, …)``: the maps, or a few of many passes."""
        outputs = self.first(self._padded(images))
        if self.passes is None:
            return np.asarray(outputs[5][: len(images)])
        return self.passes.sample(outputs, len(images))

    def warm_up(self) -> None:
        """Runs each of its programs once, on black pictures: the first run is the one that optimises and allocates.

        Raises:
            DeviceError, ModelError: as for any run.
        """
        black = np.zeros((self.batch, self.size[1], self.size[0], 3), np.uint8)
        outputs = self.first(black)
        if self.passes is not None:
            self.passes.warm_up(outputs)

    def _padded(self, images: Pixels) -> Pixels:
        missing = self.batch - len(images)
        if not missing:
            return images
        return np.concatenate([images, np.broadcast_to(images[-1:], (missing, *images.shape[1:]))])

    def _looked(self, images: Pixels, count: int, progress: Progress | None) -> Look:
        outputs = self.first(images)
        found = outputs[5:] if self.passes is None else self.passes(outputs, count, progress)
        maps, *figures = (array[:count] for array in found)
        classes, scores, probabilities, best, values = (array[:count] for array in outputs[:5])
        named = dict(zip(self.plan.figures, figures, strict=True))
        return Look(maps, classes, scores, probabilities, best, values, named)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All that a `Kernel` is, but for the device.

    Attributes:
        first, passes: as in `Kernel`.
        size, batch, layer: likewise.
        told: the target layer in words; empty where there is none.
        own: the model's own precision, which its layers keep; empty where all is float32, and can be had in another.
        figures: names of the figures.
        backwards: True where gradients go all the way back to the input.
        notes: what the user should know.
    """

    first: Program
    size: Size
    batch: int
    layer: str
    told: str
    own: str
    passes: PassesPlan | None = None
    figures: tuple[str, ...] = ()
    backwards: bool = False
    notes: tuple[str, ...] = ()

    @property
    def compares_scores(self) -> bool:
        """True where maps are differences between the scores of many passes."""
        return self.passes is not None and not self.passes.mean

    @property
    def lasting(self) -> bool:
        """True where it can be stored."""
        programs = (self.first,) if self.passes is None else (self.first, self.passes.step, self.passes.last)
        return all(program.lasting for program in programs)

    def rewrite(self, precision: str) -> Plan:
        """The same, rewritten for processors."""
        passes, precision = self.passes, self.arithmetic(precision)
        if passes is not None:
            passes = replace(passes, step=passes.step.rewrite(precision), last=passes.last.rewrite("float32"))
        return replace(self, first=self.first.rewrite(precision), passes=passes)

    def start(self, device: str, precision: str, *, xla: bool = False) -> Kernel:
        """Makes it ready to run.

        Args:
            device: as from `choose_devices`.
            precision: ``float32``, ``bfloat16`` or ``float16``; a model with a precision of its own keeps that.
            xla: compile it, on a graphics card.
        """
        arithmetic = self.arithmetic(precision)
        return Kernel(
            first=self.first.start(device, arithmetic, xla=xla),
            plan=self,
            precision=self.own or precision,
            device=device,
            passes=None if self.passes is None else self.passes.start(device, arithmetic),
        )

    def arithmetic(self, precision: str) -> str:
        """What its programs are to be rewritten to: ``float32`` leaves each operation in the type that it has."""
        return "float32" if self.own else precision


def plan_kernel(
    loaded: LoadedModel,
    method: Method,
    *,
    layer: str,
    targets: tuple[Target, ...],
    size: Size,
    batch: int,
    rows: int = 0,
) -> Plan:
    """Traces, freezes and folds; takes seconds. The model is left as it was and is not needed afterwards.

    Args:
        loaded: a classifier.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        targets: what to explain, all of it from one forward pass.
        size: ``(width, height)`` of the pictures.
        batch: pictures a run.
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
        passes, figures = plan_passes(wanted, results, traced, batch, rows or batch)
    assert wanted.survey is not None
    return Plan(
        first=freeze(traced),
        size=size,
        batch=batch,
        layer=wanted.chosen or INPUT,
        told=_told(wanted.chosen, wanted.survey.rows),
        own=wanted.survey.own,
        passes=passes,
        figures=figures,
        backwards=wanted.backwards,
        notes=tuple(wanted.notes),
    )


def _told(layer: str, rows: tuple[LayerInfo, ...]) -> str:
    if not layer:
        return ""
    row = next(row for row in rows if row.path == layer)
    why = f" ({row.reason.removeprefix('auto: ')})" if row.chosen else ""
    cells = f": {row.grid[1]}x{row.grid[0]} cells" if row.grid else ""
    return f"target layer {layer}{cells}{why}"


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
