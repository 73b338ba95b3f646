"""The models that can be named, for ``streamcam models``."""

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
        name: as ``--model`` takes it.
        input_size: ``(width, height)`` it was made for.
        classes: what it tells apart.
        weights: where they come from.
        licence: of the weights.
    """

    name: str
    input_size: Size
    classes: str
    weights: str
    licence: str


def list_models() -> tuple[ModelEntry, ...]:
    """Every model with a name, the embedded one first; loads none of them."""
    embedded = ModelEntry(DEFAULT_MODEL, DEFAULT_INPUT_SIZE, "ImageNet-1k", "in the package", "Apache-2.0")
    published = (
        ModelEntry(entry.name, entry.input_size, "ImageNet-1k", "downloaded by Keras", "see keras.io/api/applications")
        for entry in APPLICATIONS.values()
    )
    return (embedded, *published)
