"""Visualise filters: load the model, choose the filters, find their images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import PreprocessWarning, warn_user
from ...notes import get_logger
from ...options import DEFAULT_MODEL, FilterOptions, ModelOptions
from .filter_image import FilterImage, Patch
from .patch_files import check_patches
from .result import FilterStudy
from .selection import FilterTarget, needs_layer, parse_filters, split_filters

if TYPE_CHECKING:
    from ...models import LoadedModel
    from .network import FilterNetwork

logger = get_logger(__name__)

_DEFAULT_SIZE = 128
"""Side for models that accept any size: a third of the time of 224, with the same features."""

_NUM_RANDOM = 16
_MAX_HISTORY_BYTES = 512 << 20


def visualize_filters(
    model: Any = DEFAULT_MODEL,
    *,
    layer: str = "auto",
    filters: str | int | Sequence[int] = "0-15",
    steps: int = 256,
    seed: int = 0,
    size: int = 0,
    octaves: int = 0,
    parametrization: Literal["fourier", "maco"] = "fourier",
    learning_rate: float = 0.05,
    jitter: int = 8,
    scale: float = 0.1,
    rotation: float = 5.0,
    tv: float = 0.0,
    l2: float = 0.0,
    preprocess: str | Callable[[Any], Any] | None = "auto",
    labels: str | Sequence[str] = "auto",
    image_input: str = "",
    extra_input: Mapping[str, Any] | None = None,
    trust_model: bool = False,
    patches: str | os.PathLike[str] | None = None,
    history: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FilterStudy:
    """Find the image that excites each filter most, by gradient ascent.

        study = streamcam.visualize_filters("ResNet50", layer="conv4_block6_out", filters="strongest:16")
        study.save("filters.png")

    The images are spectra with decorrelated colors. Each step moves, scales and rotates them at random and applies Adam
    to the mean activation. A ReLU at the end of the layer is a leaky one meanwhile. Equal arguments give equal images.

    Args:
        model: as for `Explainer`.
        layer: path of the layer, or ``auto``.
        filters: ``"0-15"``, ``"3,17"``, ``"3+17"`` (their sum), ``"strongest:16"`` (those with the highest mean
            activation over random images; with ``patches``, those with the best patch), ``"class:NAME"`` (a logit),
            several with commas; or numbers of channels.
        steps: of gradient ascent, over all octaves.
        seed: of the noise and of the transformations.
        size: side of the images in pixels; 0 for the model's input, or 128 if the model accepts any size.
        octaves: sizes that the images grow through, each twice as large as the one before; 0 for 1 in the first layers,
            whose filters respond to details of single pixels, and 2 elsewhere.
        parametrization: ``fourier``, or ``maco``: the magnitudes of the spectrum are fixed to 1/f, as in natural
            images, and only the phases change.
        learning_rate: of Adam, in Fourier space; higher once the transformations end, except in the deepest layers.
        jitter: largest shift in pixels.
        scale: largest relative change of scale.
        rotation: largest rotation in degrees.
        tv: weight of the total variation, with colors from 0 to 1.
        l2: weight of the mean squared distance from mid gray.
        preprocess: as for `Explainer`.
        labels: as for `Explainer`.
        image_input: as for `Explainer`.
        extra_input: as for `Explainer`.
        trust_model: as for `Explainer`.
        patches: a video, an image or a folder of images, to find the natural patches that excite the filters most.
        history: images of each filter to keep over the steps, so that `FilterStudy.save` can write a video; fewer if
            they took more than 512 MiB.
        progress: called with steps done and steps in all.

    Raises:
        OptionError: a value cannot be used.
        LayerError: no such layer, or it has no feature map.
        SourceError: ``patches`` cannot be read.
        StreamcamError: the model cannot be loaded, or has no gradient.
    """
    model_options = ModelOptions(
        model=model,
        preprocess=preprocess,
        labels=labels,
        image_input=image_input,
        extra_input=extra_input or {},
        trust_model=trust_model,
    )
    options = FilterOptions(
        layer=layer,
        filters=_filters_text(filters),
        steps=steps,
        seed=seed,
        size=size,
        octaves=octaves,
        parametrization=parametrization,
        learning_rate=learning_rate,
        jitter=jitter,
        scale=scale,
        rotation=rotation,
        tv=tv,
        l2=l2,
    )
    return run_study(model_options, options, None if patches is None else os.fspath(patches), history, progress)


def run_study(
    model: ModelOptions,
    options: FilterOptions,
    patches: str | None = None,
    history: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FilterStudy:
    """Visualise the filters that the options name.

    Raises:
        StreamcamError: as `visualize_filters`.

    Warns:
        PreprocessWarning: the model's preprocessing is a guess.
    """
    split_filters(options.filters)  # a wrong text fails before TensorFlow is imported
    if patches is not None:
        check_patches(patches)
    from ...models import load_model
    from .ascent import BATCH, ascend
    from .network import FilterNetwork

    loaded = load_model(model)
    for note in loaded.notes:
        logger.info("%s", note)
    if loaded.preprocess_guess:
        warn_user(loaded.preprocess_guess, PreprocessWarning)
    size = _image_size(loaded, options)
    network = FilterNetwork(
        loaded,
        size if loaded.accepts_any_size else loaded.input_size,
        options.layer if needs_layer(options.filters) else None,
    )
    means, logits = _random_activations(network, size, options.seed)

    def rank() -> list[int]:
        strengths = means if patches is None else _strongest_in_patches(network, patches)
        return [int(one) for one in np.argsort(-strengths)]

    targets = parse_filters(options.filters, loaded.labels, network.num_channels, rank)
    found_patches = [()] * len(targets) if patches is None else _find_patches(network, targets, patches, options.seed)
    batches = [targets[start : start + BATCH] for start in range(0, len(targets), BATCH)]
    num_steps = options.steps * len(batches)
    history_steps = _history_steps(history, options.steps, len(targets) * size[0] * size[1] * 3)
    found: list[FilterImage] = []
    for number, batch in enumerate(batches):

        def on_step(done: int, before: int = number * options.steps) -> None:
            if progress is not None:
                progress(before + done, num_steps)

        ascent = ascend(network, batch, options, size, on_step, frozenset(history_steps))
        found += [
            FilterImage(
                label=target.label,
                channels=target.channels,
                class_index=target.class_index,
                image=ascent.images[n],
                start=ascent.starts[n],
                end=ascent.ends[n],
                peak=ascent.peaks[n],
                random=_random(target, means, logits),
                patches=found_patches[number * BATCH + n],
                history=ascent.history[n],
            )
            for n, target in enumerate(batch)
        ]
    return FilterStudy(
        filters=tuple(found),
        model=loaded.name,
        layer=network.layer,
        size=size,
        steps=options.steps,
        seed=options.seed,
        notes=loaded.notes,
        history_steps=history_steps,
    )


def _history_steps(count: int, steps: int, bytes_of_one: int) -> tuple[int, ...]:
    """Return the steps to keep images of, evenly from first to last."""
    if count < 1:
        return ()
    count = max(2, min(count, steps + 1, _MAX_HISTORY_BYTES // bytes_of_one))
    return tuple(int(step) for step in np.linspace(0, steps, count).round())


def _find_patches(
    network: FilterNetwork, targets: tuple[FilterTarget, ...], path: str, seed: int
) -> list[tuple[Patch, ...]]:
    from .patches import find_patches

    return find_patches(network, targets, path, seed)


def _strongest_in_patches(network: FilterNetwork, path: str) -> NDArray[np.float32]:
    from .patches import highest_activations

    return highest_activations(network, path)


def _filters_text(filters: str | int | Sequence[int]) -> str:
    if isinstance(filters, str):
        return filters
    return ",".join(map(str, filters if isinstance(filters, Sequence) else [filters]))


def _image_size(loaded: LoadedModel, options: FilterOptions) -> tuple[int, int]:
    if options.size:
        return options.size, options.size
    return (_DEFAULT_SIZE, _DEFAULT_SIZE) if loaded.accepts_any_size else loaded.input_size


def _random_activations(
    network: FilterNetwork, size: tuple[int, int], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each channel's mean activation and each logit for random pixels."""
    from ...tf import tf

    def respond(pixels: Any) -> tuple[Any, Any]:
        response = network.respond(tf.cast(pixels, tf.float32))
        means = tf.zeros(0) if response.maps is None else tf.reduce_mean(response.activations, axis=(0, 1, 2))
        return means, tf.reduce_mean(response.logits, axis=0)

    shape = (_NUM_RANDOM, size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    means, logits = network.compile(respond, tf.TensorSpec(shape, tf.uint8))(tf.constant(pixels))
    return means.numpy(), logits.numpy()


def _random(target: FilterTarget, means: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    if target.class_index is not None:
        return float(logits[target.class_index])
    return float(sum(means[channel] for channel in target.channels))
