"""Check a guessed preprocessing: compare what the candidates make of two photographs.

The first batch normalisation stores the mean and the variance of its input in training. With the right preprocessing
its normalised output has a mean near 0 and a variance near 1 in each channel. A model without one is judged by its
logits: one is far above the others if the input is a hundred times too large. The check reports; it never switches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.load import LoadedModel
from ..models.preprocessing import for_channels, resolve_preprocessing
from ..tf import keras, model_lock, tf
from .graph.layer_trace import layer_paths, record_layer_calls
from .runtime.precision import load_probe_images

_CANDIDATES = ("none", "0..1", "-1..1")

_CLEAR_MARGIN = 1.0
"""Least difference of two deviations that is reported: a factor of e in the standard deviation is 2."""

_MAX_LOGIT_MARGIN = 40.0
"""Distance of the largest logit from their mean, above which a classifier is saturated."""


def check_preprocessing(loaded: LoadedModel) -> LoadedModel:
    """Add a note to the model if another preprocessing clearly fits better.

    Args:
        loaded: the model; unchanged unless its preprocessing is a guess.
    """
    if not loaded.preprocess_guess:
        return loaded
    try:
        finding = _compare(loaded)
    except Exception:  # the model may fail outside a graph, and the check is no reason to fail
        return loaded
    if not finding:
        return loaded
    guess = f"{loaded.preprocess_guess}; {finding}"
    notes = tuple(guess if note == loaded.preprocess_guess else note for note in loaded.notes)
    return replace(loaded, notes=notes, preprocess_guess=guess)


def _compare(loaded: LoadedModel) -> str:
    images = tf.cast(load_probe_images(loaded.input_size), tf.float32)
    channels = int(loaded.preprocess(images).shape[-1])
    functions = {
        name: for_channels(resolve_preprocessing(name), channels, loaded.name).function for name in _CANDIDATES
    }
    functions[loaded.preprocess_name] = loaded.preprocess
    measured = {name: _measure(loaded, function(images)) for name, function in functions.items()}
    deviations = {name: deviation for name, (deviation, _) in measured.items()}
    chosen = loaded.preprocess_name
    if not any(np.isnan(one) for one in deviations.values()):
        best = min(deviations, key=lambda name: deviations[name])
        if deviations[chosen] - deviations[best] > _CLEAR_MARGIN:
            return (
                f"the first batch normalisation fits {best} better than {chosen} "
                f"(deviation {deviations[best]:.1f} against {deviations[chosen]:.1f})"
            )
        return ""
    margins = {name: margin for name, (_, margin) in measured.items()}
    plausible = [name for name in margins if margins[name] <= _MAX_LOGIT_MARGIN]
    if margins[chosen] > _MAX_LOGIT_MARGIN and plausible:
        return (
            f"its logits fit {' or '.join(plausible)} better than {chosen} "
            f"(margin {margins[plausible[0]]:.1f} against {margins[chosen]:.0f})"
        )
    return ""


def _measure(loaded: LoadedModel, inputs: Any) -> tuple[float, float]:
    """Return the deviation of the first batch normalisation, and the logit margin.

    The deviation is NaN if the model has no trained batch normalisation.
    """
    norms = {
        path: layer
        for path, layer in layer_paths(loaded.model).items()
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    with model_lock, record_layer_calls(norms) as calls:
        outputs = _to_numpy(loaded.call(inputs))
    deviation = _deviation(norms[calls[0].path], _to_numpy(calls[0].output)) if calls else float("nan")
    return deviation, _logit_margin(outputs)


def _deviation(norm: Any, output: NDArray[np.float64]) -> float:
    """Measure how far an output is from mean 0 and variance 1."""
    moving_variance = _to_numpy(norm.moving_variance)
    if norm.axis not in (-1, output.ndim - 1) or np.all(moving_variance == 1):  # never trained
        return float("nan")
    gamma = np.ones_like(moving_variance) if norm.gamma is None else _to_numpy(norm.gamma)
    beta = np.zeros_like(moving_variance) if norm.beta is None else _to_numpy(norm.beta)
    used = np.abs(gamma) > 1e-3 * np.abs(gamma).max(initial=0)
    normalised = (output.reshape(-1, output.shape[-1])[:, used] - beta[used]) / gamma[used]
    mean, variance = normalised.mean(axis=0), normalised.var(axis=0)
    return float(np.mean(np.abs(np.log(variance + 1e-3)) + np.log1p(mean**2)))


def _logit_margin(outputs: NDArray[np.float64]) -> float:
    """Return the distance of the largest logit from their mean."""
    is_probability = np.all(outputs >= 0) and np.allclose(outputs.sum(axis=1), 1, atol=1e-2)
    logits = np.log(np.maximum(outputs, 1e-38)) if is_probability else outputs
    return float((logits.max(axis=1) - logits.mean(axis=1)).mean())


def _to_numpy(tensor: Any) -> NDArray[np.float64]:
    array: NDArray[np.float64] = keras.ops.convert_to_numpy(tensor).astype(np.float64)
    return array
