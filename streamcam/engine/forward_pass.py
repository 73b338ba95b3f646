"""Trace one forward pass of the model, as methods see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import LayerError, MethodError, StreamcamError, describe_error
from ..methods import Maps, Method, MethodContext, MultiPass
from ..models.load import LoadedModel
from ..models.targets import Target, choose_classes, score_classes
from ..tf import tf
from .graph.guided_relu import guided_gradient
from .graph.layer_choice import choose_layer
from .graph.layer_info import FeatureMap
from .graph.layers import ModelSurvey, survey_layers
from .graph.logits import find_logits, probe_output


@dataclass(frozen=True, slots=True, eq=False)
class ExplainRequest:
    """The model, method and targets to trace.

    Attributes:
        loaded: the model.
        method: the method with its parameters bound.
        layer: name of the target layer, or ``auto``.
        functions: targets that are compiled in.
        by_code: True to explain one more target that is known at run time only, before the functions.
        size: ``(width, height)`` of the images.
    """

    loaded: LoadedModel
    method: Method
    layer: str
    functions: tuple[Target, ...]
    by_code: bool
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class TraceFindings:
    """Findings of the trace of a request.

    Attributes:
        survey: the model's layers.
        layer_path: path of the target layer; empty if the method uses none.
        needs_input_gradient: True if the method uses gradients with respect to the input.
        notes: one-line announcements for the user, in the order in which they came up.
    """

    survey: ModelSurvey
    layer_path: str = ""
    needs_input_gradient: bool = False
    notes: tuple[str, ...] = ()

    def merge(self, later: TraceFindings) -> TraceFindings:
        """Return the findings of two traces; the later survey counts."""
        return TraceFindings(
            later.survey,
            later.layer_path or self.layer_path,
            self.needs_input_gradient or later.needs_input_gradient,
            tuple(dict.fromkeys((*self.notes, *later.notes))),
        )


class ForwardPass:
    """The model traced on some images.

    Args:
        request: the model, method and targets.
        images: the model's input, float32 ``(n, H, W, 3)``.
        codes: the target of each row, int32 ``(n, 2)``, see `streamcam.models.targets.TargetCodes`; None if the
            request asks for functions only.

    Attributes:
        scores: of each target, float32 ``(n,)``.
        findings: findings of the trace so far; complete once the method's results are traced.
    """

    def __init__(self, request: ExplainRequest, images: Any, codes: Any = None) -> None:
        self._request = request
        self._images = images
        survey = survey_layers(request.loaded.model, request.loaded.call, images)
        self.head = survey.head
        self.findings = TraceFindings(survey, notes=tuple(filter(None, [self.head.note])))
        logits = self.head.logits
        self._classes = None if codes is None else choose_classes(logits, codes)
        self._score_functions: list[Callable[[Any], Any]] = [one.call_function for one in request.functions]
        if self._classes is not None:
            self._score_functions.insert(0, lambda logits: score_classes(logits, self._classes))
        self.scores = [score(logits) for score in self._score_functions]

    def summaries(self) -> list[list[Any]]:
        """Return class, score and probability of each target, ``(n,)`` each.

        The class is int64, −1 for a target that is no class, whose probability is NaN.
        """
        rows = tf.shape(self.head.logits)[0]
        no_class, no_probability = tf.fill([rows], tf.constant(-1, tf.int64)), tf.fill([rows], float("nan"))
        summaries = [[no_class, score, no_probability] for score in self.scores]
        if self._classes is not None:
            classes = tf.where(self._classes[:, 1] < 0, self._classes[:, 0], -1)
            probabilities = tf.gather(self.head.probabilities, tf.maximum(classes, 0), batch_dims=1)
            summaries[0] = [classes, self.scores[0], tf.where(classes >= 0, probabilities, float("nan"))]
        return summaries

    def contexts(self) -> list[MethodContext]:
        """Return the method's input for each target."""
        return [self._make_context(number) for number in range(len(self.scores))]

    def results(self) -> list[Any | Maps | MultiPass]:
        """Call the method for each target.

        Raises:
            MethodError: it failed.
        """
        try:
            return [self._request.method(context) for context in self.contexts()]
        except (StreamcamError, LookupError):
            raise  # TensorFlow raises LookupError for an operation without a gradient
        except Exception as error:
            raise MethodError(f"the method failed: {describe_error(error)}") from error

    def _make_context(self, number: int) -> MethodContext:
        score = self.scores[number]

        def input_gradient() -> Any:
            self._add_finding(needs_input_gradient=True)
            return self._input_gradient(score, self._images)

        def guided_input_gradient() -> Any:
            gradient, note = guided_gradient(score, self._images)
            self._add_finding(needs_input_gradient=True, notes=tuple(filter(None, [note])))
            return _check_gradient(gradient)

        def layer_gradient() -> Any:
            feature_map = self._target_feature_map()
            (gradient,) = tf.gradients(score, feature_map.tensor)
            if gradient is None:
                raise LayerError(
                    "no gradient reaches the target layer: a later operation stops it", hint="use a later --layer"
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
        survey = self.findings.survey
        path = choose_layer(self._request.layer, survey.rows)
        self._add_finding(layer_path=path)
        return survey.feature_maps[path]

    def _add_finding(self, **found: Any) -> None:
        self.findings = self.findings.merge(TraceFindings(self.findings.survey, **found))

    def _input_gradient(self, score: Any, images: Any) -> Any:
        (gradient,) = tf.gradients(score, images)
        return _check_gradient(gradient)

    def _blank(self, grey: float) -> Any:
        width, height = self._request.size  # of images; preprocessing may change the size
        return preprocess(self._request, tf.fill((1, height, width, 3), tf.constant(grey, tf.float32)))

    def _score_of(self, other: Any, number: int) -> Any:
        loaded = self._request.loaded
        logits = find_logits(loaded.call(other), lambda: probe_output(loaded.model, loaded.call, other)).logits
        rows = tf.repeat(logits, tf.shape(self.scores[number])[0], axis=0)
        return self._score_functions[number](rows)


def _check_gradient(gradient: Any) -> Any:
    if gradient is None:
        raise MethodError(
            "no gradient reaches the model's input: an operation of the model stops it",
            hint="use a method without gradients, such as occlusion",
        )
    return tf.cast(gradient, tf.float32)


def preprocess(request: ExplainRequest, images: Any) -> Any:
    """Return the model's input for ``uint8 (N, H, W, 3)`` RGB."""
    return tf.cast(request.loaded.preprocess(tf.cast(images, tf.float32)), tf.float32)
