"""One pass of the model in a graph that is being built, as methods see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import LayerError, MethodError, StreamcamError
from ..methods import Maps, Method, Steps, Traced
from ..models.backend import tf
from ..models.foreign import described
from ..models.load import LoadedModel
from ..models.targets import Target
from .guided import guided_gradient
from .head import find_head, tried
from .layers import Grid, Survey, choose_layer, survey


@dataclass(slots=True, eq=False)
class Wanted:
    """What is to be explained, and, once a pass was traced, what that showed.

    Attributes:
        loaded: the model.
        method: with its parameters bound.
        layer: name of the target layer, or ``auto``.
        targets: at least one.
        size: ``(width, height)`` of the pictures.
        chosen: path of the target layer; empty where the method asked for none.
        survey: of the last pass.
        backwards: True where the method asked for gradients to the input.
        notes: what the user should know, in the order in which it came up.
    """

    loaded: LoadedModel
    method: Method
    layer: str
    targets: tuple[Target, ...]
    size: tuple[int, int]
    chosen: str = ""
    survey: Survey | None = None
    backwards: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Keeps a line for the user, once."""
        if line and line not in self.notes:
            self.notes.append(line)


class Pass:
    """The model run on some pictures.

    Args:
        wanted: what is to be explained.
        pictures: the model's input, float32 ``(n, H, W, 3)``.
        classes: the class of each target explained in each row, int64 ``(n, targets)``; None lets the targets choose.

    Attributes:
        classes: likewise.
        scores: float32 ``(n, targets)``.
    """

    def __init__(self, wanted: Wanted, pictures: Any, classes: Any = None) -> None:
        self._wanted = wanted
        self._pictures = pictures
        self._survey = wanted.survey = survey(wanted.loaded.model, wanted.loaded.call, pictures)
        self.head = self._survey.head
        wanted.note(self.head.note)
        logits = self.head.logits
        if classes is None:
            classes = tf.stack([target.choose(logits) for target in wanted.targets], axis=1)
        self.classes = classes
        self.scores = tf.stack([t.score(logits, classes[:, n]) for n, t in enumerate(wanted.targets)], axis=1)

    def probabilities(self) -> Any:
        """Float32 ``(n, targets)``, of the explained classes; NaN where a target is no class."""
        classes = self.classes
        found = tf.gather(self.head.probabilities, tf.maximum(classes, 0), axis=1, batch_dims=1)
        return tf.where(classes >= 0, found, float("nan"))

    def traced(self) -> list[Traced]:
        """The pass as a method sees it, once for each target."""
        return [self._traced(number) for number in range(len(self._wanted.targets))]

    def results(self) -> list[Any | Maps | Steps]:
        """What the method makes of the pass, for each target.

        Raises:
            MethodError: it failed.
        """
        try:
            return [self._wanted.method(traced) for traced in self.traced()]
        except (StreamcamError, LookupError):
            raise  # a LookupError is TensorFlow's word for an operation without a gradient
        except Exception as error:
            raise MethodError(f"the method failed: {described(error)}") from error

    def _traced(self, number: int) -> Traced:
        score = self.scores[:, number]

        def input_gradient() -> Any:
            self._wanted.backwards = True
            return self._gradient_of(score, self._pictures)

        def guided() -> Any:
            self._wanted.backwards = True
            gradient, note = guided_gradient(score, self._pictures)
            self._wanted.note(note)
            return _reached(gradient)

        def gradient() -> Any:
            grid = self._grid()
            (found,) = tf.gradients(score, grid.tensor)
            if found is None:
                raise LayerError(
                    "no gradient reaches the target layer: something behind it stops it", do="use a later --layer"
                )
            return grid.arranged(found)

        def layer() -> Any:
            grid = self._grid()
            return grid.arranged(grid.tensor)

        return Traced(
            input=self._pictures,
            score=score,
            layer=layer,
            gradient=gradient,
            input_gradient=input_gradient,
            guided_gradient=guided,
            blank=self._blank,
            score_of=lambda other: self._score_of(other, number),
        )

    def _grid(self) -> Grid:
        self._wanted.chosen = choose_layer(self._wanted.layer, self._survey.rows)
        return self._survey.grids[self._wanted.chosen]

    def _gradient_of(self, score: Any, pictures: Any) -> Any:
        (found,) = tf.gradients(score, pictures)
        return _reached(found)

    def _blank(self, grey: float) -> Any:
        width, height = self._wanted.size  # of pictures, which preprocessing may turn into an input of another size
        return prepared(self._wanted, tf.fill((1, height, width, 3), tf.constant(grey, tf.float32)))

    def _score_of(self, other: Any, number: int) -> Any:
        loaded = self._wanted.loaded
        logits = find_head(loaded.call(other), lambda: tried(loaded.model, loaded.call, other)).logits
        rows = tf.repeat(logits, tf.shape(self.classes)[0], axis=0)
        return self._wanted.targets[number].score(rows, self.classes[:, number])


def _reached(gradient: Any) -> Any:
    if gradient is None:
        raise MethodError(
            "no gradient reaches the model's input: something on the way stops it",
            do="use a method without gradients, such as occlusion",
        )
    return tf.cast(gradient, tf.float32)


def prepared(wanted: Wanted, images: Any) -> Any:
    """What the model takes for ``uint8 (N, H, W, 3)`` RGB."""
    return tf.cast(wanted.loaded.preprocess(tf.cast(images, tf.float32)), tf.float32)
