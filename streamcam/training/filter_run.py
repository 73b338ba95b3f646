"""The filters of a layer over a training run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..compose.contact_sheet import draw_sheet, scale_image
from ..compose.training_sheet import put_header
from ..errors import OptionError, did_you_mean
from ..models.load import LoadedModel
from ..option_fields import option_fields
from ..options import FilterOptions
from ..studies.filters.network import FilterNetwork, target_selection
from ..studies.filters.parametrization import FourierImages
from ..studies.filters.robustness import transform
from ..studies.filters.schedule import choose_schedule
from ..studies.filters.selection import parse_filters
from ..tf import keras, tf
from .drawing import CELL_SIDE, format_epoch

NAME = "filters"
_DEFAULTS: dict[str, Any] = {"filters": "", "steps": 32, "octaves": 1, "learning_rate": 0.1, "jitter": 4}
_NUM_FILTERS = 9
_FIXED = ("layer", "size", "octaves", "parametrization", "tv", "l2")


class FilterRun:
    """Gradient ascent on the filters of a layer.

    It starts from the same noise each time, and is traced once on the model in training.

    Args:
        params: fields of `FilterOptions`; by default the first nine filters and 32 steps.
        layer: path of the layer, or ``auto``.

    Raises:
        OptionError: an unknown or invalid parameter.
    """

    def __init__(self, params: Mapping[str, Any], layer: str) -> None:
        known = [name for name in option_fields(FilterOptions) if name not in _FIXED]
        for name in params:
            if name not in known:
                raise OptionError(
                    f"unknown parameter {name!r} of filters",
                    expected=f"one of {', '.join(known)}",
                    hint=did_you_mean(name, known),
                )
        values = {**_DEFAULTS, **params}
        self._filters = str(values.pop("filters"))
        self._options = FilterOptions(filters=self._filters or "0", layer=layer, **values)
        self.name = NAME

    def trace(self, loaded: LoadedModel) -> None:
        """Trace one step of the ascent; once for each model.

        Raises:
            LayerError, MethodError, OptionError: the filters cannot be visualised.
        """
        size = loaded.input_size
        network = FilterNetwork(loaded, size, self._options.layer)
        text = self._filters or f"0-{min(_NUM_FILTERS, network.num_channels) - 1}"
        targets = parse_filters(text, loaded.labels, network.num_channels, lambda: list(range(network.num_channels)))
        self._labels, self._layer = [one.label for one in targets], network.layer
        self._images = images = FourierImages(size)
        channels, classes = target_selection(targets, network.num_channels, len(loaded.labels))
        self._start = images.start([[self._options.seed, n] for n in range(len(targets))])
        self._coordinates = tf.Variable(self._start)
        self._optimizer = optimizer = keras.optimizers.Adam(self._options.learning_rate)
        optimizer.build([self._coordinates])
        self._fresh = [np.asarray(tf.convert_to_tensor(one)) for one in optimizer.variables]

        def scores(pixels: Any, *, is_objective: bool) -> Any:
            response = network.respond(pixels * 255.0)
            maps = response.objectives if is_objective else response.activations
            found = tf.reduce_sum(tf.reduce_mean(maps, axis=(1, 2)) * channels, axis=1)
            return found + tf.reduce_sum(response.logits * classes, axis=1)

        schedule = choose_schedule(network.stride)

        def step(number: Any) -> Any:
            strength = schedule.transformation_strength(tf.cast(number, tf.float32) / self._options.steps)
            with tf.GradientTape() as tape:
                pixels = transform(images.render(self._coordinates), self._options, number, strength)
                loss = -tf.reduce_sum(scores(pixels, is_objective=True))
            optimizer.apply([tape.gradient(loss, self._coordinates)], [self._coordinates])
            return loss

        def result() -> Any:
            pixels = images.render(self._coordinates)
            return pixels, scores(pixels, is_objective=False)

        self._step = network.compile(step, tf.TensorSpec((), tf.int32))
        self._result = network.compile(result)

    def explain(self, position: tuple[int, float]) -> Iterator[tuple[Any, ...]]:
        """Yield the calls of a logger for the weights of the moment.

        Args:
            position: the step and the epoch.
        """
        self._coordinates.assign(self._start)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        for number in range(self._options.steps):
            self._step(tf.constant(number))
        pixels, activations = (np.asarray(one) for one in self._result())
        images = [scale_image(one, max(CELL_SIDE, *one.shape[:2])) for one in np.rint(pixels * 255).astype(np.uint8)]
        titles = [f"{name}: {value:.3g}" for name, value in zip(self._labels, activations, strict=True)]
        columns = math.ceil(math.sqrt(len(images)))
        header = f"filters of {self._layer}, {format_epoch(position[1])}"
        yield "log_image", f"{NAME}/grid", put_header(draw_sheet(images, titles, columns), header), position[0]
        for name, value in zip(self._labels, activations, strict=True):
            if np.isfinite(value):
                yield "log_scalar", f"{NAME}/activation/{name}", float(value), position[0]
