"""A model up to one of its layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.compile import survey_model
from ...engine.graph.layer_choice import choose_layer
from ...engine.graph.layers import ModelSurvey, survey_layers
from ...engine.graph.tracing import trace
from ...geometry import Size
from ...models import LoadedModel
from ...tf import tf
from .selection import FilterTarget

_RELUS = ("Relu", "Relu6")
_LEAK = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """The result of one call of a `FilterNetwork`; symbolic.

    Attributes:
        maps: float32 ``(N, h, w, K)``; before the ReLU if the layer ends with one; None for classes alone.
        is_relu: the layer ends with a ReLU.
        logits: float32 ``(N, classes)``.
    """

    maps: Any
    is_relu: bool
    logits: Any

    @property
    def objectives(self) -> Any:
        """The maps that an ascent maximises, ``(N, h, w, K)`` or None: a ReLU has a slope below zero."""
        return tf.nn.leaky_relu(self.maps, _LEAK) if self.is_relu else self.maps

    @property
    def activations(self) -> Any:
        """The layer's output ``(N, h, w, K)`` or None, without the limit of a ReLU6."""
        return tf.nn.relu(self.maps) if self.is_relu else self.maps


class FilterNetwork:
    """A model with a layer, to read what its filters put out.

    Args:
        loaded: the model.
        size: ``(width, height)`` of its input.
        layer: path of the layer, or ``auto``; None if only classes are asked for.

    Attributes:
        layer: path of the layer; empty without one.
        num_channels: channels of the layer.
        stride: pixels of the model's input between two positions of the layer; infinite without one.

    Raises:
        LayerError: no such layer, or it has no feature map.
        ModelError: the model cannot be run.
    """

    def __init__(self, loaded: LoadedModel, size: Size, layer: str | None) -> None:
        self.loaded, self.size = loaded, size
        self.layer, self.num_channels, self.stride = "", 0, math.inf
        if layer is not None:
            rows = survey_model(loaded, size)
            self.layer = choose_layer(layer, rows)
            row = next(one for one in rows if one.path == self.layer)
            self.num_channels = row.shape[-1] or 0
            self.stride = size[0] / row.spatial_shape[1] if row.spatial_shape else math.inf

    def respond(self, images: Any) -> Response:
        """Run the model on images; call this while a graph is under construction.

        Args:
            images: float32 ``(N, H, W, 3)`` RGB 0–255, of any size: they are scaled to the model's input.
        """
        width, height = self.size
        if not self.loaded.accepts_any_size and tuple(images.shape[1:3]) != (height, width):
            images = tf.image.resize(images, (height, width))
        survey = self._survey(images)
        if self.layer and self.layer not in survey.feature_maps:
            # The first octaves may be too small for more than one position of a deep layer.
            survey = self._survey(tf.image.resize(images, (height, width)))
        logits = tf.cast(survey.head.logits, tf.float32)
        if not self.layer:
            return Response(None, False, logits)
        feature_map = survey.feature_maps[self.layer]
        operation = feature_map.tensor.op
        is_relu = operation.type in _RELUS
        return Response(feature_map.to_nhwc(operation.inputs[0] if is_relu else feature_map.tensor), is_relu, logits)

    def _survey(self, images: Any) -> ModelSurvey:
        return survey_layers(self.loaded.model, self.loaded.call, self.loaded.preprocess(images))

    def compile(self, function: Callable[..., Any], *specifications: Any) -> Callable[..., Any]:
        """Compile a function that calls `respond`.

        Raises:
            ModelError: the model does not accept such images.
            MethodError: it has no gradient.
        """
        compiled: Callable[..., Any] = trace(function, self.size, *specifications)
        return compiled


def select_scores(
    maps: Any, logits: Any, targets: tuple[FilterTarget, ...], reduce: Callable[..., Any] = tf.reduce_mean
) -> Any:
    """Return the score of each image's own target, ``(N,)``.

    Args:
        maps: activations ``(N, h, w, K)``; None without a layer.
        logits: ``(N, classes)``.
        targets: one for each image.
        reduce: of the activation over the positions.
    """
    channels, classes = target_selection(targets, 0 if maps is None else maps.shape[3], logits.shape[1])
    scores = 0.0
    if channels.any():
        scores += reduce(tf.einsum("nhwk,nk->nhw", maps, channels), axis=(1, 2))
    if classes.any():
        scores += tf.reduce_sum(logits * classes, axis=1)
    return scores


def target_selection(
    targets: tuple[FilterTarget, ...], num_channels: int, num_classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights of channels and classes in each target's score.

    They are ``(N, K)`` and ``(N, classes)``.
    """
    classes: list[tuple[int, ...]] = [() if one.class_index is None else (one.class_index,) for one in targets]
    return _selection([one.channels for one in targets], num_channels), _selection(classes, num_classes)


def _selection(indices: list[tuple[int, ...]], length: int) -> NDArray[np.float32]:
    rows = np.zeros((len(indices), length), np.float32)
    for row, own in zip(rows, indices, strict=True):
        for index in own:
            row[index] += 1
    return rows
