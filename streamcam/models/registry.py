"""Registry of the models that ``--model`` takes by name; ``streamcam models`` prints it."""

from __future__ import annotations

from dataclasses import dataclass

from ..geometry import Size
from ..options import DEFAULT_MODEL
from .signature import DEFAULT_INPUT_SIZE
from .zoo.applications import APPLICATIONS


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that ``--model`` takes by name.

    Attributes:
        name: value for ``--model``.
        input_size: ``(width, height)`` of the training images.
        classes: data set of the classes.
        weights: source of the weights.
        licence: licence of the weights.
    """

    name: str
    input_size: Size
    classes: str
    weights: str
    licence: str


MODELS: dict[str, ModelEntry] = {
    DEFAULT_MODEL: ModelEntry(DEFAULT_MODEL, DEFAULT_INPUT_SIZE, "ImageNet-1k", "in the package", "Apache-2.0"),
    **{
        entry.name: ModelEntry(
            entry.name, entry.input_size, "ImageNet-1k", "downloaded by Keras", "see keras.io/api/applications"
        )
        for entry in APPLICATIONS.values()
    },
}
"""The built-in model, then those of `keras.applications`. Reading it loads no model."""
