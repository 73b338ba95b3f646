"""The feature maps of several layers, from one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
from ..geometry import Size
from ..models.load import LoadedModel
from ..tf import tf
from .compiler.freeze import freeze
from .graph.layer_choice import choose_layer, choose_layers_through_depth
from .graph.layer_info import LayerInfo
from .graph.layers import survey_layers
from .graph.tracing import trace
from .runtime.frozen_graph import LoadedGraph


@dataclass(frozen=True, slots=True, eq=False)
class LayerMaps:
    """A model compiled into the feature maps of some of its layers.

    Attributes:
        layers: the layers, in the order of `__call__`.
        batch: images a run.
        size: ``(width, height)`` of the images.
    """

    layers: tuple[LayerInfo, ...]
    batch: int
    size: Size
    _graph: LoadedGraph

    def __call__(self, images: Sequence[RgbImage]) -> list[NDArray[np.float32]]:
        """Run the model once.

        Args:
            images: up to `batch` images of `size`, ``uint8 (height, width, 3)`` RGB.

        Returns:
            For each layer ``float32 (len(images), h, w, channels)``.

        Raises:
            ModelError, DeviceError: the model failed.
        """
        padded = np.stack([*images, *[images[-1]] * (self.batch - len(images))])
        return [maps[: len(images)] for maps in self._graph(padded)]


def load_layer_maps(loaded: LoadedModel, layers: Sequence[str], *, size: Size, batch: int, device: str) -> LayerMaps:
    """Trace, freeze and load the forward pass up to some layers.

    Takes seconds. The arithmetic is float32.

    Args:
        loaded: the model; not changed.
        layers: paths of layers; none chooses some through the depth of the network.
        size: ``(width, height)`` of the images.
        batch: images a run.
        device: one of `streamcam.engine.runtime.devices.list_devices`.

    Raises:
        LayerError: a layer does not exist or has no feature map, or no layer has one.
        ModelError: the model cannot be run on such images.
    """
    chosen: list[LayerInfo] = []

    def run_model(images: Any) -> list[Any]:
        model_input = tf.cast(loaded.preprocess(tf.cast(images, tf.float32)), tf.float32)
        survey = survey_layers(loaded.model, loaded.call, model_input)
        if layers:
            paths = tuple(dict.fromkeys(choose_layer(layer, survey.rows) for layer in layers))
        else:
            paths = choose_layers_through_depth(survey.rows, survey.feature_maps, model_input)
        by_path = {row.path: row for row in survey.rows}
        chosen[:] = [by_path[path] for path in paths]
        # A placeholder may not be an output as well.
        return [tf.identity(survey.feature_maps[path].to_nhwc(survey.feature_maps[path].tensor)) for path in paths]

    traced = trace(run_model, size, tf.TensorSpec((batch, size[1], size[0], 3), tf.uint8))
    return LayerMaps(tuple(chosen), batch, size, freeze(traced).load(device))
