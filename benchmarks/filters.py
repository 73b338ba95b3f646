"""Activations that ``streamcam filters`` reaches, against random images and natural patches: ``make bench-filters``.

16 filters of three layers of different depth of the embedded model, with the default options. For filters that do not
reach ten times the mean over random images, free pixels without any regularisation tell how high the mean can get, and
how high one position alone: no mean is above the best position.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import REPOSITORY, WORK, log_progress, machine_summary, table, write_section
from numpy.typing import NDArray

import streamcam
from streamcam.models import LoadedModel, load_model
from streamcam.options import ModelOptions
from streamcam.studies.filters.network import FilterNetwork
from streamcam.studies.filters.patches import highest_activations
from streamcam.tf import keras, tf

LAYERS = ("block2_expand_activation", "block6_expand_activation", "top_activation")
CLIPS = ("cockatoo.mp4", "samoyed_640_nogps.mp4")
COUNT = 16
WANTED = 10.0
FREE_STEPS = 200

HEADING = """## Filters

Activations that `streamcam filters` reaches with its default options: filters 0 to 15 of three layers of the embedded
model, 128×128. Random: mean over 16 images of random pixels. Start, end: mean over all positions of the first and the
last image. Peak: highest activation of the last image at one position. Best patch: the same over all frames of
cockatoo.mp4 and samoyed_640_nogps.mp4. Free mean, free peak: the highest mean, or activation of one position, that 200
steps of Adam reach without spectrum, transformations and natural colors, for filters whose end is below 10 × random. No
mean is above the highest position. Made by `make bench-filters`."""


def main() -> None:
    """Visualise the filters and write the section."""
    loaded = load_model(ModelOptions())
    WORK.mkdir(exist_ok=True)
    parts = [HEADING, f"Machine: {machine_summary()}."]
    for layer in LAYERS:
        log_progress(layer)
        started = time.process_time()
        study = streamcam.visualize_filters(layer=layer, filters=f"0-{COUNT - 1}")
        seconds = time.process_time() - started
        study.save(WORK / f"filters-{layer}.png", overwrite=True)
        parts.append(report(loaded, study, seconds))
        log_progress(parts[-1])
    write_section("filters", "\n\n".join(parts))


def report(loaded: LoadedModel, study: streamcam.FilterStudy, seconds: float) -> str:
    """Return the table of one layer, with the count of filters that miss."""
    network = FilterNetwork(loaded, loaded.input_size, study.layer)
    clips = [highest_activations(network, str(REPOSITORY / "samples" / clip)) for clip in CLIPS]
    patches = np.max(clips, axis=0)
    missing = [one.channels[0] for one in study.filters if one.end < WANTED * one.random]
    means, peaks = (
        dict(zip(missing, free_optima(loaded, study, missing, reduce), strict=True)) if missing else {}
        for reduce in (tf.reduce_mean, tf.reduce_max)
    )
    rows = []
    for one in study.filters:
        channel = one.channels[0]
        numbers = (one.random, one.start, one.end, one.peak, patches[channel])
        ratio = f"{one.end / one.random:.1f}" if one.random else "∞"
        most = [
            f"{free[channel]:.3g} ({free[channel] / one.random:.1f} ×)" for free in (means, peaks) if channel in free
        ]
        rows.append([one.label, *(f"{number:.3g}" for number in numbers), ratio, *(most or ["", ""])])
    below = [one.label for one in study.filters if one.peak <= patches[one.channels[0]]]
    means_below = [one.label for one in study.filters if one.end <= patches[one.channels[0]]]
    goals = {channel: WANTED * study.filters[channel].random for channel in missing}
    possible = [str(channel) for channel, goal in goals.items() if means[channel] >= goal]
    no_position = [channel for channel, goal in goals.items() if peaks[channel] < goal]
    head = ("filter", "random", "start", "end", "peak", "best patch", "end ÷ random", "free mean", "free peak")
    return (
        f"`{study.layer}`, {study.steps} steps, {seconds:.0f} CPU seconds: {len(missing)} of {COUNT} filters miss "
        f"{WANTED:.0f} × random; free pixels reach it with {len(possible)} of these ({', '.join(possible) or 'none'}), "
        f"and for {len(no_position)} not even at one position. The peak is below the best patch for {len(below)} "
        f"filters ({', '.join(below) or 'none'}); the mean is for {len(means_below)} "
        f"({', '.join(means_below) or 'none'}).\n\n" + table(head, rows)
    )


def free_optima(
    loaded: LoadedModel, study: streamcam.FilterStudy, channels: list[int], reduce: Callable[..., Any]
) -> NDArray[np.float32]:
    """Return the activations, reduced over the positions, that Adam reaches on free pixels without transformations."""
    network = FilterNetwork(loaded, study.size, study.layer)
    shape = (len(channels), study.size[1], study.size[0], 3)
    pixels = tf.Variable(np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([pixels])
    selection = tf.one_hot(channels, network.num_channels)

    def select(maps: Any) -> Any:
        return tf.einsum("nhwk,nk->nhw", maps, selection)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            response = network.respond(tf.sigmoid(pixels) * 255)
            loss = -tf.reduce_sum(reduce(select(response.objectives), axis=(1, 2)))
        optimizer.apply([tape.gradient(loss, pixels)], [pixels])
        return reduce(select(response.activations), axis=(1, 2))

    best = np.zeros(len(channels), np.float32)
    for _ in range(FREE_STEPS):
        best = np.maximum(best, step().numpy())
    return best


if __name__ == "__main__":
    main()
