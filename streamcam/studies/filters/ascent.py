"""Gradient ascent on the images of several filters at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...frames import RgbImage
from ...geometry import Size
from ...options import FilterOptions
from ...tf import keras, tf
from .network import FilterNetwork, select_scores
from .parametrization import FourierImages, MacoImages
from .robustness import transform
from .schedule import choose_schedule
from .selection import FilterTarget

BATCH = 16
"""Filters of one step."""

_MIN_SIDE = 8
"""Pixels of a side of the smallest octave."""

_PEAK_WEIGHT = 0.003
"""Of the highest activation beside the mean: an image that excites all positions cannot be the best one for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """The result of an ascent.

    Attributes:
        images: of each target, ``uint8 (h, w, 3)`` RGB.
        starts, ends: mean activation, or logit, of the first and the last image.
        peaks: highest activation of the last image at one position, or its logit.
        history: of each target, its images at the steps asked for.
    """

    images: tuple[RgbImage, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]
    peaks: tuple[float, ...]
    history: tuple[tuple[RgbImage, ...], ...]


def octave_sizes(size: Size, octaves: int) -> list[Size]:
    """Return the sizes of an ascent, each about twice the one before.

    The last one is ``size``; none is below `_MIN_SIDE`, unless ``size`` is.
    """

    def shrink(side: int, halvings: int) -> int:
        return min(side, max(_MIN_SIDE, side >> halvings))

    return [(shrink(size[0], n), shrink(size[1], n)) for n in reversed(range(octaves))]


def split_steps(steps: int, octaves: int) -> list[int]:
    """Return the steps of each octave.

    The last one takes one share, the one before two: larger images cost more.
    """
    shares = [octaves - n for n in range(octaves)]
    ends = [steps * sum(shares[: n + 1]) // sum(shares) for n in range(octaves)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def ascend(
    network: FilterNetwork,
    targets: tuple[FilterTarget, ...],
    options: FilterOptions,
    size: Size,
    on_step: Callable[[int], None],
    history_steps: Collection[int] = (),
) -> Ascent:
    """Maximise the score of each target, starting from noise.

    The score is the mean over the positions, with a little of the highest activation.

    Args:
        network: the model with its layer.
        targets: at most `BATCH`.
        options: steps, seed, transformations and penalties.
        size: ``(width, height)`` of the images.
        on_step: called after each step with the number of steps done.
        history_steps: numbers of steps done after which to keep the images; 0 is the noise.

    Raises:
        MethodError: the model has no gradient.
    """
    schedule = choose_schedule(network.stride)
    octaves = options.octaves or schedule.octaves
    sizes = octave_sizes(size, octaves)
    parametrization: FourierImages | MacoImages = (
        MacoImages(sizes[0]) if options.parametrization == "maco" else FourierImages(sizes[0])
    )
    coordinates = parametrization.start([[options.seed, *_identity(target)] for target in targets])
    noise = _to_uint8(parametrization.render(coordinates))
    measure = functools.cache(functools.partial(_compile_measure, network, targets))
    starts, _ = measure(sizes[0])(noise)
    history = [noise] if 0 in history_steps else []
    done = 0
    calm_step = math.ceil(schedule.calm_at * options.steps) if schedule.frees_colors else options.steps
    for octave, steps in _split(list(zip(sizes, split_steps(options.steps, octaves), strict=True)), calm_step):
        if octave != parametrization.size:
            parametrization, coordinates = parametrization.enlarge(coordinates, octave)
        if done == calm_step:
            parametrization, coordinates = parametrization.free_colors(coordinates)
        variable = tf.Variable(coordinates)
        optimizer = keras.optimizers.Adam(options.learning_rate)
        optimizer.build([variable])
        step = network.compile(
            _make_step(network, targets, options, parametrization, variable, optimizer), tf.TensorSpec((), tf.int32)
        )
        for _ in range(steps):
            step(tf.constant(done))
            done += 1
            if done in history_steps:
                history.append(_to_uint8(parametrization.render(variable)))
            on_step(done)
        coordinates = variable.numpy()
    images = _to_uint8(parametrization.render(coordinates))
    ends, peaks = measure(size)(images)
    histories = tuple(tuple(kept[number] for kept in history) for number in range(len(targets)))
    return Ascent(tuple(images), starts, ends, peaks, histories)


def _split(octaves: list[tuple[Size, int]], at_step: int) -> Iterator[tuple[Size, int]]:
    """Yield sizes with their steps; the octave that contains a step ends and begins again there."""
    for size, steps in octaves:
        if 0 < at_step < steps:
            yield size, at_step
            yield size, steps - at_step
        else:
            yield size, steps
        at_step -= steps


def _make_step(
    network: FilterNetwork,
    targets: tuple[FilterTarget, ...],
    options: FilterOptions,
    parametrization: FourierImages | MacoImages,
    variable: Any,
    optimizer: Any,
) -> Callable[[Any], Any]:
    """Return one step of Adam on all images, to be compiled."""
    schedule = choose_schedule(network.stride)

    def step(number: Any) -> Any:
        progress = tf.cast(number, tf.float32) / options.steps
        with tf.GradientTape() as tape:
            images = parametrization.render(variable)
            transformed = transform(images, options, number, schedule.transformation_strength(progress))
            response = network.respond(transformed * 255.0)
            means, peaks = (
                select_scores(response.objectives, response.logits, targets, reduce)
                for reduce in (tf.reduce_mean, tf.reduce_max)
            )
            # The images share no coordinates: the gradient of the sum is that of each.
            loss = tf.reduce_sum(_penalty(images, options) - means - _PEAK_WEIGHT * peaks)
        optimizer.learning_rate.assign(schedule.learning_rate(progress, options))
        optimizer.apply([tape.gradient(loss, variable)], [variable])
        return means

    return step


def _penalty(images: Any, options: FilterOptions) -> Any:
    """Return the weighted penalties of each image, ``(N,)``."""
    penalty = tf.zeros(images.shape[0])
    if options.tv:
        rows, columns = images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]
        variation = tf.reduce_mean(tf.abs(rows), axis=(1, 2, 3)) + tf.reduce_mean(tf.abs(columns), axis=(1, 2, 3))
        penalty += options.tv * variation
    if options.l2:
        penalty += options.l2 * tf.reduce_mean((images - 0.5) ** 2, axis=(1, 2, 3))
    return penalty


def _compile_measure(
    network: FilterNetwork, targets: tuple[FilterTarget, ...], size: Size
) -> Callable[[NDArray[np.uint8]], tuple[tuple[float, ...], tuple[float, ...]]]:
    """Compile a function that measures each target on its own image.

    It takes ``uint8 (N, h, w, 3)`` RGB, and returns mean and highest activations; both are the logit for a class.

    Args:
        network: the model with its layer.
        targets: one for each image.
        size: ``(width, height)`` of the images.
    """

    def scores(pixels: Any) -> Any:
        response = network.respond(tf.cast(pixels, tf.float32))
        return [
            select_scores(response.activations, response.logits, targets, reduce)
            for reduce in (tf.reduce_mean, tf.reduce_max)
        ]

    compiled = network.compile(scores, tf.TensorSpec((len(targets), size[1], size[0], 3), tf.uint8))

    def measure(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        means, peaks = (tuple(one.numpy().tolist()) for one in compiled(tf.constant(images)))
        return means, peaks

    return measure


def _identity(target: FilterTarget) -> tuple[int, ...]:
    return (0, *target.channels) if target.class_index is None else (1, target.class_index)


def _to_uint8(images: Any) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.asarray(images) * 255), np.uint8)
