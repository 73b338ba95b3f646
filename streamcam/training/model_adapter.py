"""A model in training, as the engine takes models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import OptionError
from ..models.labels import default_labels, resolve_labels
from ..models.load import LoadedModel
from ..models.signature import model_signature
from .validation_data import ValidationBatch


def adapt_model(
    model: Any,
    batch: ValidationBatch,
    labels: str | Sequence[str],
    image_input: str,
    extra_input: Mapping[str, Any],
) -> LoadedModel:
    """Return a model in training with the names of its classes; nothing is copied.

    Args:
        model: a Keras model.
        batch: the validation images, which define the size of its input.
        labels: names of the classes; ``auto`` takes those of the data, else ``class 0``, ….
        image_input: name of the input that takes the images; empty: find it.
        extra_input: values of the other inputs by name.

    Raises:
        ModelError: it takes no such images, or is no classifier.
        OptionError: the labels do not fit the model.
    """
    name = model.name
    height, width, channels = batch.inputs.shape[1:]
    signature = model_signature(
        model, name, image_input, extra_input, any_channels=True, image_shape=(height, width, channels)
    )
    if isinstance(labels, str) and labels == "auto":
        has_names = len(batch.names) == len(default_labels(signature.num_outputs))
        known = batch.names if has_names else default_labels(signature.num_outputs)
    else:
        known = resolve_labels(labels, signature.num_outputs, name)
    if batch.classes is not None and not (batch.classes.min() >= 0 and batch.classes.max() < len(known)):
        raise OptionError(
            f"the validation labels are from {batch.classes.min()} to {batch.classes.max()}",
            expected=f"0 to {len(known) - 1}, the classes of {name}",
        )
    return LoadedModel(
        name=name,
        model=model,
        call=signature.call,
        input_size=(width, height),
        accepts_any_size=False,
        preprocess=batch.rgb_to_input,
        preprocess_name="that of the data",
        labels=known,
    )
