"""Ask the model: the input it expects, and its predictions for the samples that reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine.preprocess_check import check_preprocessing
from ...errors import describe_error
from ...models.load import LoadedModel, load_model
from ...models.preprocessing import find_scaling_operation
from ...models.zoo import applications
from ...notes import get_logger
from ...options import ModelOptions
from ...tf import keras, tf
from .evidence import Expectation, FloatArray, Predictions, StageEvidence

logger = get_logger(__name__)

_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class ModelFindings:
    """Findings of a model about its input.

    Attributes:
        expectation: None if it is unknown.
        predictions: for the stages that reach it.
        num_classes: number of its classes.
    """

    expectation: Expectation | None
    predictions: tuple[Predictions, ...]
    num_classes: int


def inspect_model(model: Any, stages: Sequence[StageEvidence]) -> ModelFindings:
    """Return the findings of a model about the stages of its pipeline.

    Args:
        model: as for `ModelOptions`, `ModelOptions`, or a loaded model.
        stages: the last one of each data set reaches the model.

    Raises:
        StreamcamError: the model cannot be loaded.
    """
    loaded = model
    if not isinstance(model, LoadedModel):
        loaded = load_model(model if isinstance(model, ModelOptions) else ModelOptions(model=model))
    own = [stage for stage in stages if not stage.is_reference]
    last = {stage.split: stage for stage in own}
    predictions = [found for stage in last.values() if (found := predict(loaded, stage)) is not None]
    return ModelFindings(find_expectation(loaded), tuple(predictions), len(loaded.labels))


def find_expectation(loaded: LoadedModel) -> Expectation | None:
    """Return the input that a model expects; None if it is unknown.

    Known in this order: a layer that scales, the family of `keras.applications`, also of a nested backbone, a KerasHub
    preprocessor, and the first batch normalisation.
    """
    operation = find_scaling_operation(loaded.model)
    if operation is not None and loaded.preprocess_name == "none":
        return _expectation_of_layer(operation, loaded.name)
    family = _backbone_family(loaded.model)
    if loaded.preprocess_name not in ("none",):
        reason = f"preprocess {loaded.preprocess_name}"
        return _expectation_of_function(loaded.preprocess, loaded.name, reason)
    if family:
        function = applications.preprocessing(family)
        return _expectation_of_function(function, loaded.name, f"its backbone is of the family {family}")
    if not loaded.preprocess_guess:  # it takes uint8, or was loaded with --preprocess none
        return Expectation(loaded.name, (0.0,), (255.0,), f"preprocess {loaded.preprocess_name}")
    norm = _first_weights(loaded.model)
    if isinstance(norm, (keras.layers.BatchNormalization, keras.layers.LayerNormalization)):
        return None
    checked = check_preprocessing(loaded)
    if checked.preprocess_guess == loaded.preprocess_guess and _has_trained_norm(loaded.model):
        return None  # the statistics of its training fit 0-255
    reason = "no layer of it scales the input"
    return Expectation(loaded.name, (0.0,), (1.0,), reason, is_guess=True)


def predict(loaded: LoadedModel, stage: StageEvidence) -> Predictions | None:
    """Predict samples in both channel orders; None if the model fails."""
    samples = [one for one in stage.samples if np.isfinite(np.asarray(one.image, np.float32)).all()]
    channels = stage.low.shape[0]
    if not samples:
        return None
    width, height = loaded.input_size
    try:
        images = [tf.image.resize(tf.cast(one.image, tf.float32), (height, width)) for one in samples]
        inputs = tf.stack(images)
        direct = _probabilities(loaded, inputs)
        swapped = _probabilities(loaded, inputs[..., ::-1]) if channels == 3 else None
    except Exception as error:  # the checks of the values go on without predictions
        logger.info("stage %s: the model cannot run on its images: %s", stage.name, describe_error(error))
        return None
    if not np.isfinite(direct).all():
        return None
    return Predictions(stage.name, tuple(one.index for one in samples), direct, swapped)


def _expectation_of_function(function: Any, name: str, reason: str) -> Expectation | None:
    """Probe a preprocessing function with black, white and red."""
    colors = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.float32)
    probe = np.broadcast_to(colors[:, None, None], (3, 4, 4, 3)).copy()
    try:
        black, white, red = keras.ops.convert_to_numpy(function(tf.constant(probe))).mean((1, 2))
    except Exception:  # a user's own function may need images of its size
        return None
    low, high = tuple(float(one) for one in black), tuple(float(one) for one in white)
    is_bgr = len(red) == 3 and bool(red[2] - black[2] > 0.9 * (white[2] - black[2]))
    return Expectation(name, low, high, reason, is_bgr=is_bgr, scales_itself=low[0] == 0 and high[0] == 255)


def _expectation_of_layer(operation: Any, name: str) -> Expectation:
    """Derive the input from the numbers of a scaling layer."""
    high, low = 255.0, 0.0
    if isinstance(operation, keras.layers.Rescaling):
        if float(np.max(np.abs(np.asarray(operation.scale, np.float64)))) > 0.02:
            high = 1.0
    elif isinstance(operation, keras.layers.Normalization):
        mean = keras.ops.convert_to_numpy(operation.mean).astype(np.float64)
        deviation = np.sqrt(keras.ops.convert_to_numpy(operation.variance).astype(np.float64))
        if float((mean + 2 * deviation).max()) <= 4:
            high, low = 1.0, 0.0 if float(mean.min()) > 0.05 and float(deviation.max()) < 0.5 else -1.0
    return Expectation(name, (low,), (high,), f"layer {operation.name}", scales_itself=True)


def _backbone_family(model: Any) -> str:
    """Return the family of a nested Keras application; empty if there is none."""
    for layer in getattr(model, "layers", ()):
        application = applications.recognise(layer.name)
        if application is not None:
            return application.family
        if hasattr(layer, "layers") and (found := _backbone_family(layer)):
            return found
    return ""


def _first_weights(model: Any) -> Any:
    """Return the first layer with weights."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            found = _first_weights(layer)
            if found is not None:
                return found
        elif layer.weights:
            return layer
    return None


def _has_trained_norm(model: Any) -> bool:
    norms = [one for one in _leaves(model) if isinstance(one, keras.layers.BatchNormalization)]
    return bool(norms) and not np.all(keras.ops.convert_to_numpy(norms[0].moving_variance) == 1)


def _leaves(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False, recursive=True))


def _probabilities(loaded: LoadedModel, inputs: Any) -> FloatArray:
    outputs = np.concatenate(
        [
            keras.ops.convert_to_numpy(loaded.call(inputs[begin : begin + _BATCH])).astype(np.float64)
            for begin in range(0, len(inputs), _BATCH)
        ]
    )
    if outputs.shape[1] == 1:  # a sigmoid unit, or its logit
        positive = outputs[:, 0]
        if positive.min() < 0 or positive.max() > 1:
            positive = 1 / (1 + np.exp(-np.clip(positive, -60, 60)))
        return np.stack([1 - positive, positive], 1)
    if outputs.min() >= 0 and np.allclose(outputs.sum(1), 1, atol=2e-2):
        return outputs
    if outputs.min() >= 0 and outputs.max() <= 1:  # independent sigmoids
        return outputs
    shifted = np.exp(outputs - outputs.max(1, keepdims=True))
    probabilities: FloatArray = shifted / shifted.sum(1, keepdims=True)
    return probabilities
