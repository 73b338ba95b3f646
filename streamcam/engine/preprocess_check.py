"""Check a guessed preprocessing: compare what the candidates make of two photographs, and of the first frames.

The first batch normalisation stores the mean and the variance of its input in training. With the right preprocessing
its normalised output has a mean near 0 and a variance near 1 in each channel. A model without one is judged by its
logits: one is far above the others if the input is a hundred times too large. The check reports; it never switches.

Two packaged photographs are checked when the model is loaded, the first frames when they are explained. The model runs
as it is: nothing is compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
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

_NUM_FRAMES = 2
"""First frames that are checked: as many as photographs."""

_FRAME_MARGIN = 2.0
"""As `_CLEAR_MARGIN` for frames, which are all of one scene."""

_MIN_CONTRAST, _BRIGHTNESS = 30.0, (64.0, 192.0)
"""Standard deviation and range of the mean of frames that are checked, 0–255. The statistics of training say nothing
about frames that are dark, bright or flat."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """The preprocessing that clearly fits better, with the reason; both empty if there is none."""

    best: str = ""
    reason: str = ""


def check_preprocessing(loaded: LoadedModel) -> LoadedModel:
    """Add a note to the model if another preprocessing clearly fits better.

    Args:
        loaded: the model; unchanged unless its preprocessing is a guess.
    """
    if not loaded.preprocess_guess:
        return loaded
    finding = _compare(loaded, load_probe_images(loaded.input_size), _CLEAR_MARGIN)
    if not finding.best:
        return loaded
    guess = f"{loaded.preprocess_guess}; {finding.reason}"
    notes = tuple(guess if note == loaded.preprocess_guess else note for note in loaded.notes)
    return replace(loaded, notes=notes, preprocess_guess=guess)


class FirstFramesCheck:
    """Check a guessed preprocessing on the first frames of an input, once. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_done = False

    def __call__(self, loaded: LoadedModel | None, make_images: Callable[[], RgbImage]) -> str:
        """Check the first frames that are neither dark, bright nor flat.

        Args:
            loaded: the model as from `check_preprocessing`; None if it is not in memory, because its compiled method
                was cached.
            make_images: returns frames at the size of the model's input, ``uint8 (n, height, width, 3)`` RGB.

        Returns:
            A note if the finding differs from that on the photographs; else an empty text.
        """
        if self._is_done or loaded is None or not loaded.preprocess_guess:
            return ""
        images = make_images()[:_NUM_FRAMES]
        is_typical = images.std() >= _MIN_CONTRAST and _BRIGHTNESS[0] <= images.mean() <= _BRIGHTNESS[1]
        with self._lock:
            if self._is_done or not is_typical:
                return ""
            self._is_done = True
        finding = _compare(loaded, images, _FRAME_MARGIN)
        if not finding.best or f" {finding.best} better than " in loaded.preprocess_guess:
            return ""
        return f"preprocess {loaded.preprocess_name} is a guess; on the first frames {finding.reason}"


def _compare(loaded: LoadedModel, images: RgbImage, clear_margin: float) -> _Finding:
    try:
        return _compare_candidates(loaded, tf.cast(images, tf.float32), clear_margin)
    except Exception:  # the model may fail outside a graph, and the check is no reason to fail
        return _Finding()


def _compare_candidates(loaded: LoadedModel, images: Any, clear_margin: float) -> _Finding:
    channels = int(loaded.preprocess(images).shape[-1])
    functions = {
        name: for_channels(resolve_preprocessing(name), channels, loaded.name).function for name in _CANDIDATES
    }
    functions[loaded.preprocess_name] = loaded.preprocess
    inputs = [function(images) for function in functions.values()]
    measured = dict(zip(functions, _measure(loaded, inputs), strict=True))
    deviations = {name: deviation for name, (deviation, _) in measured.items()}
    chosen = loaded.preprocess_name
    if not any(np.isnan(one) for one in deviations.values()):
        best = min(deviations, key=lambda name: deviations[name])
        if deviations[chosen] - deviations[best] <= clear_margin:
            return _Finding()
        return _Finding(
            best,
            f"the first batch normalisation fits {best} better than {chosen} "
            f"(deviation {deviations[best]:.1f} against {deviations[chosen]:.1f})",
        )
    margins = {name: margin for name, (_, margin) in measured.items()}
    plausible = [name for name in margins if margins[name] <= _MAX_LOGIT_MARGIN]
    if margins[chosen] <= _MAX_LOGIT_MARGIN or not plausible:
        return _Finding()
    best = " or ".join(plausible)
    return _Finding(
        best,
        f"its logits fit {best} better than {chosen} "
        f"(margin {margins[plausible[0]]:.1f} against {margins[chosen]:.0f})",
    )


def _measure(loaded: LoadedModel, inputs: list[Any]) -> list[tuple[float, float]]:
    """Return each candidate's deviation and logit margin.

    The deviation is that of the first batch normalisation; NaN if the model has no trained one. One call for all
    candidates takes half the time of a call for each.
    """
    norms = {
        path: layer
        for path, layer in layer_paths(loaded.model).items()
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    with model_lock, record_layer_calls(norms) as calls:
        outputs = np.split(_to_numpy(loaded.call(tf.concat(inputs, 0))), len(inputs))
    if not calls:
        return [(float("nan"), _logit_margin(one)) for one in outputs]
    norm, normalised = norms[calls[0].path], np.split(_to_numpy(calls[0].output), len(inputs))
    return [(_deviation(norm, own), _logit_margin(one)) for own, one in zip(normalised, outputs, strict=True)]


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
