"""One pass of the model in a graph that is being built, as methods see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import LayerError, MethodError, StreamcamError, describe_error
from ..methods import Maps, Method, MethodContext, MultiPass
from ..models.load import LoadedModel
from ..models.targets import Target
from ..tf import tf
from .graph.guided_relu import guided_gradient
from .graph.layer_choice import choose_layer
from .graph.layer_info import FeatureMap
from .graph.layers import ModelSurvey, survey_layers
from .graph.logits import find_logits, probe_output


@dataclass(slots=True, eq=False)
class ExplainRequest:
    """What is to be explained, and, once a pass was traced, what that showed.

    Attributes:
        loaded: the model.
        method: with its parameters bound.
        layer: name of the target layer, or ``auto``.
        targets: at least one.
        size: ``(width, height)`` of the pictures.
        layer_path: path of the target layer; empty where the method asked for none.
        survey: of the last pass.
        needs_input_gradient: True where the method asked for gradients to the input.
        notes: what the user should know, in the order in which it came up.
    """

    loaded: LoadedModel
    method: Method
    layer: str
    targets: tuple[Target, ...]
    size: tuple[int, int]
    layer_path: str = ""
    survey: ModelSurvey | None = None
    needs_input_gradient: bool = False
    notes: list[str] = field(default_factory=list)

    def add_note(self, line: str) -> None:
        """Keeps a line for the user, once."""
        if line and line not in self.notes:
            self.notes.append(line)


class ForwardPass:
    """The model run on some pictures.

    Args:
        request: what is to be explained.
        images: the model's input, float32 ``(n, H, W, 3)``.
        classes: the class of each target explained in each row, int64 ``(n, targets)``; None lets the targets choose.

    Attributes:
        classes: likewise.
        scores: float32 ``(n, targets)``.
    """

    def __init__(self, request: ExplainRequest, images: Any, classes: Any = None) -> None:
        self._request = request
        self._images = images
        self._survey = request.survey = survey_layers(request.loaded.model, request.loaded.call, images)
        self.head = self._survey.head
        request.add_note(self.head.note)
        logits = self.head.logits
        if classes is None:
            classes = tf.stack([target.choose(logits) for target in request.targets], axis=1)
        self.classes = classes
        self.scores = tf.stack([t.score(logits, classes[:, n]) for n, t in enumerate(request.targets)], axis=1)

    def probabilities(self) -> Any:
        """Float32 ``(n, targets)``, of the explained classes; NaN where a target is no class."""
        classes = self.classes
        probabilities = tf.gather(self.head.probabilities, tf.maximum(classes, 0), axis=1, batch_dims=1)
        return tf.where(classes >= 0, probabilities, float("nan"))

    def contexts(self) -> list[MethodContext]:
        """The pass as a method sees it, once for each target."""
        return [self._make_context(number) for number in range(len(self._request.targets))]

    def results(self) -> list[Any | Maps | MultiPass]:
        """What the method makes of the pass, for each target.

        Raises:
            MethodError: it failed.
        """
        try:
            return [self._request.method(context) for context in self.contexts()]
        except (StreamcamError, LookupError):
            raise  # a LookupError is TensorFlow's word for an operation without a gradient
        except Exception as error:
            raise MethodError(f"the method failed: {describe_error(error)}") from error

    def _make_context(self, number: int) -> MethodContext:
        score = self.scores[:, number]

        def input_gradient() -> Any:
            self._request.needs_input_gradient = True
            return self._input_gradient(score, self._images)

        def guided_input_gradient() -> Any:
            self._request.needs_input_gradient = True
            gradient, note = guided_gradient(score, self._images)
            self._request.add_note(note)
            return _check_gradient(gradient)

        def layer_gradient() -> Any:
            feature_map = self._target_feature_map()
            (gradient,) = tf.gradients(score, feature_map.tensor)
            if gradient is None:
                raise LayerError(
                    "no gradient reaches the target layer: something behind it stops it", hint="use a later --layer"
                )
            return feature_map.to_nhwc(gradient)

        def layer_activation() -> Any:
            feature_map = self._target_feature_map()
            return feature_map.to_nhwc(feature_map.tensor)

        return MethodContext(
            input=self._images,
            score=score,
            layer=layer_activation,
            gradient=layer_gradient,
            input_gradient=input_gradient,
            guided_gradient=guided_input_gradient,
            blank=self._blank,
            score_of=lambda other: self._score_of(other, number),
        )

    def _target_feature_map(self) -> FeatureMap:
        self._request.layer_path = choose_layer(self._request.layer, self._survey.rows)
        return self._survey.feature_maps[self._request.layer_path]

    def _input_gradient(self, score: Any, images: Any) -> Any:
        (gradient,) = tf.gradients(score, images)
        return _check_gradient(gradient)

    def _blank(self, grey: float) -> Any:
        width, height = self._request.size  # of pictures, which preprocessing may turn into an input of another size
        return preprocess(self._request, tf.fill((1, height, width, 3), tf.constant(grey, tf.float32)))

    def _score_of(self, other: Any, number: int) -> Any:
        loaded = self._request.loaded
        logits = find_logits(loaded.call(other), lambda: probe_output(loaded.model, loaded.call, other)).logits
        rows = tf.repeat(logits, tf.shape(self.classes)[0], axis=0)
        return self._request.targets[number].score(rows, self.classes[:, number])


def _check_gradient(gradient: Any) -> Any:
    if gradient is None:
        raise MethodError(
            "no gradient reaches the model's input: something on the way stops it",
            hint="use a method without gradients, such as occlusion",
        )
    return tf.cast(gradient, tf.float32)


def preprocess(request: ExplainRequest, images: Any) -> Any:
    """What the model takes for ``uint8 (N, H, W, 3)`` RGB."""
    return tf.cast(request.loaded.preprocess(tf.cast(images, tf.float32)), tf.float32)
