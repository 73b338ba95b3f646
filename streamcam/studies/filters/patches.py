"""The natural patches that excite filters most: one pass over a clip or a folder of images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...frames import RgbImage
from ...geometry import Geometry, Size, fit_to_input
from ...options import Fit, SourceOptions
from ...sources import open_source
from ...sources.resize import InputResizer
from ...tf import tf
from .filter_image import Box, Patch
from .network import FilterNetwork, target_selection
from .patch_files import patch_files
from .selection import FilterTarget

NUM_PATCHES = 3
"""Patches of each filter."""

_BATCH = 8
_MIN_SECONDS_BETWEEN = 1.0
_NUM_PROBES = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """The best position of one frame."""

    activation: float
    source: str
    seconds: float
    position: int
    model_input: RgbImage
    geometry: Geometry


def find_patches(
    network: FilterNetwork, targets: tuple[FilterTarget, ...], path: str, seed: int
) -> list[tuple[Patch, ...]]:
    """Return each target's patches of highest activation, the best first.

    Each frame counts with its best position, and frames of a video are at least a second apart.

    Args:
        network: the model with its layer.
        targets: the filters and classes.
        path: a video, an image, or a folder of images.
        seed: of the images that the receptive fields are found with.

    Raises:
        SourceError: a file cannot be read, or the folder has no images.
    """
    best: list[list[_Candidate]] = [[] for _ in targets]
    measure = functools.cache(functools.partial(_compile_measure, network, targets))
    for source, geometry, inputs, seconds in _batches(network, path):
        activations, positions = (one.numpy() for one in measure(geometry.input)(_stack(inputs)))
        for n, time in enumerate(seconds):
            for target, kept in enumerate(best):
                candidate = _Candidate(
                    float(activations[n, target]), source, time, int(positions[n, target]), inputs[n], geometry
                )
                _insert(kept, candidate)
    support = functools.cache(functools.partial(compile_support, network))

    @functools.cache
    def field(size: Size, position: int) -> Box:
        return receptive_field(support(size), size, position, seed)

    def box(target: FilterTarget, one: _Candidate) -> Box:
        size = one.geometry.input
        return field(size, one.position) if target.class_index is None else (0, 0, *size)

    return [
        tuple(_make_patch(one, box(target, one)) for one in kept) for target, kept in zip(targets, best, strict=True)
    ]


def highest_activations(network: FilterNetwork, path: str) -> NDArray[np.float32]:
    """Return each channel's highest activation at one position, ``(K,)``.

    Args:
        network: the model with its layer.
        path: a video, an image, or a folder of images.

    Raises:
        SourceError: a file cannot be read, or the folder has no images.
    """

    def highest(pixels: Any) -> Any:
        return tf.reduce_max(network.respond(tf.cast(pixels, tf.float32)).activations, axis=(0, 1, 2))

    measure = functools.cache(lambda size: network.compile(highest, _specification(size)))
    results = [measure(geometry.input)(_stack(inputs)).numpy() for _, geometry, inputs, _ in _batches(network, path)]
    return np.asarray(np.max(results, axis=0), np.float32)


def _insert(kept: list[_Candidate], candidate: _Candidate) -> None:
    """Add a candidate, or replace its worse neighbours in time."""
    near = [
        one
        for one in kept
        if one.source == candidate.source and abs(one.seconds - candidate.seconds) < _MIN_SECONDS_BETWEEN
    ]
    if any(one.activation >= candidate.activation for one in near):
        return
    kept[:] = sorted([*(one for one in kept if one not in near), candidate], key=lambda one: -one.activation)[
        :NUM_PATCHES
    ]


def _batches(network: FilterNetwork, path: str) -> Iterator[tuple[str, Geometry, list[RgbImage], list[float]]]:
    """Yield batches of frames of all files, scaled to the model's input.

    Images of a folder are stretched to one size; a model that accepts any size sees the frames of a video in their own
    aspect ratio.
    """
    loaded = network.loaded
    is_folder = Path(path).is_dir()
    fit: Fit = "native" if loaded.accepts_any_size and not is_folder else "stretch"
    for file in patch_files(path):
        with open_source(SourceOptions(url=file)) as source:
            info = source.info
            geometry = fit_to_input(fit, (info.width, info.height), loaded.input_size, pixel_aspect=info.pixel_aspect)
            resizer = InputResizer(geometry, info.color)
            inputs: list[RgbImage] = []
            seconds: list[float] = []
            for frame in source:
                inputs.append(resizer(frame.model_source))
                seconds.append(float(frame.pts * info.time_base))
                if len(inputs) == _BATCH:
                    yield info.name, geometry, inputs, seconds
                    inputs, seconds = [], []
            if inputs:
                yield info.name, geometry, inputs, seconds


def _compile_measure(network: FilterNetwork, targets: tuple[FilterTarget, ...], size: Size) -> Callable[..., Any]:
    """Compile a function that returns each target's highest activation and position."""
    channels, classes = target_selection(targets, network.num_channels, len(network.loaded.labels))

    def measure(pixels: Any) -> tuple[Any, Any]:
        response = network.respond(tf.cast(pixels, tf.float32))
        activations = response.logits @ classes.T if classes.any() else tf.zeros((_BATCH, len(targets)))
        if response.maps is None:
            return activations, tf.zeros((_BATCH, len(targets)), tf.int64)
        maps = response.activations @ channels.T
        maps = tf.reshape(maps, (_BATCH, -1, len(targets)))
        return activations + tf.reduce_max(maps, axis=1), tf.argmax(maps, axis=1)

    return network.compile(measure, _specification(size))


def _specification(size: Size) -> Any:
    """Return the `tf.TensorSpec` of a batch."""
    return tf.TensorSpec((_BATCH, size[1], size[0], 3), tf.uint8)


def _stack(inputs: list[RgbImage]) -> Any:
    """Return a full batch: the last frame fills a short one."""
    return tf.constant(np.stack(inputs + inputs[-1:] * (_BATCH - len(inputs))))


def compile_support(network: FilterNetwork, size: Size) -> Callable[..., Any]:
    """Compile a function that marks the pixels that a position depends on.

    It takes float32 ``(4, H, W, 3)`` images and a position, and returns bool ``(H, W)``.

    Args:
        network: the model with its layer.
        size: ``(width, height)`` of the images.
    """

    def support(images: Any, position: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = network.respond(images).maps
            columns = tf.reshape(maps, (_NUM_PROBES, -1, maps.shape[3]))[:, position]
            # Equal weights could cancel.
            score = tf.reduce_sum(columns * tf.linspace(1.0, 2.0, maps.shape[3]))
        gradient = tf.convert_to_tensor(tape.gradient(score, images))
        return tf.reduce_any(gradient != 0, axis=(0, 3))

    shape = (_NUM_PROBES, size[1], size[0], 3)
    return network.compile(support, tf.TensorSpec(shape, tf.float32), tf.TensorSpec((), tf.int32))


def receptive_field(support: Callable[..., Any], size: Size, position: int, seed: int) -> Box:
    """Return the box of the pixels that a position depends on.

    A maximum or a ReLU has a gradient for some of its inputs only: the pixels are those of several random images.

    Args:
        support: from `compile_support`.
        size: ``(width, height)`` of the images.
        position: in row-major order.
        seed: of the random images.
    """
    noise = np.random.default_rng(seed).uniform(0, 255, (_NUM_PROBES, size[1], size[0], 3)).astype(np.float32)
    found = support(tf.constant(noise), tf.constant(position, tf.int32)).numpy()
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if not len(rows):  # the filter depends on nothing
        return 0, 0, size[0], size[1]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _make_patch(candidate: _Candidate, box: Box) -> Patch:
    geometry = candidate.geometry
    left, top, right, bottom = box
    scale_x, scale_y = geometry.source[0] / geometry.scaled[0], geometry.source[1] / geometry.scaled[1]
    return Patch(
        image=candidate.model_input[top:bottom, left:right].copy(),
        activation=candidate.activation,
        source=candidate.source,
        seconds=candidate.seconds,
        box=(round(left * scale_x), round(top * scale_y), round(right * scale_x), round(bottom * scale_y)),
    )
