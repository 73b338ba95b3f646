"""The classifiers of `keras.applications`: their names, without importing Keras, and a loader.

Keras downloads their ImageNet weights once, into its own cache.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import ModelError, error_summary
from ...geometry import Size
from ...notes import get_logger
from ...options import DEFAULT_MODEL

_log = get_logger(__name__)

_FAMILIES = {
    "convnext": ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "efficientnet": tuple(f"EfficientNetB{n}" for n in range(8)),
    "efficientnet_v2": tuple(f"EfficientNetV2{n}" for n in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "inception_v3": ("InceptionV3",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Small", "MobileNetV3Large"),
    "nasnet": ("NASNetMobile", "NASNetLarge"),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "xception": ("Xception",),
}
_INPUT_SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
_DEFAULT_SIZE = 224


@dataclass(frozen=True, slots=True)
class Application:
    """A classifier of `keras.applications`.

    Attributes:
        name: name of the function in `keras.applications`.
        family: its module, which has its ``preprocess_input``.
        input_size: ``(width, height)`` of the training images.
    """

    name: str
    family: str
    input_size: Size


def normalize_name(name: str) -> str:
    """Reduce a name to lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


APPLICATIONS = {
    normalize_name(name): Application(name, family, (_INPUT_SIZES.get(name, _DEFAULT_SIZE),) * 2)
    for family, names in _FAMILIES.items()
    for name in names
}
"""Applications by normalised name."""

FAMILIES = tuple(_FAMILIES)


def find(name: str) -> Application | None:
    """Return the application of a name (``MobileNetV2``, ``mobilenet-v2``), or None."""
    return APPLICATIONS.get(normalize_name(name))


def recognise(model_name: str) -> Application | None:
    """Return the application whose models have this Keras name (``mobilenetv2_1.00_224``), or None."""
    return find(re.sub(r"_\d+\.\d+_\d+$", "", model_name))


def make(application: Application) -> Any:
    """Load a model with its ImageNet weights, which Keras downloads unless cached.

    Args:
        application: the model.

    Raises:
        ModelError: the download failed, or the file does not match its checksum.
    """
    from ...tf import keras

    _log.info("loading %s; its ImageNet weights are downloaded unless Keras has them already", application.name)
    try:
        with _silence_keras():
            return getattr(keras.applications, application.name)(weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelError(
            f"the ImageNet weights of {application.name} could not be loaded: {error_summary(error)}",
            hint=f"check the connection, or use --model {DEFAULT_MODEL}, which needs no download",
        ) from error


def preprocessing(family: str) -> Any:
    """Return ``preprocess_input`` of a family, for float32 ``(N, H, W, 3)`` RGB 0–255."""
    from ...tf import keras

    function = getattr(keras.applications, family).preprocess_input

    def preprocess(images: Any) -> Any:
        return function(images, data_format="channels_last")

    return preprocess


@contextlib.contextmanager
def _silence_keras() -> Iterator[None]:
    """Suppress the progress that Keras prints on stdout."""
    from ...tf import keras

    was_enabled = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_enabled:
            keras.config.enable_interactive_logging()
