"""Models of other inputs than RGB 0–255: greyscale, other numbers of channels, and KerasHub's preprocessor."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.errors import ModelError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

layers = keras.layers
RGB = np.random.default_rng(1).integers(0, 256, (2, 12, 16, 3)).astype(np.float32)
LUMA = RGB @ np.array([[0.299], [0.587], [0.114]], np.float32)


def model_of(channels: int) -> Any:
    keras.utils.set_random_seed(2)
    inputs = keras.Input((12, 16, channels))
    x = layers.Conv2D(4, 3, activation="relu", name="last")(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def to_four(images: Any) -> Any:
    """RGB and its luma, 0–1."""
    return tf.concat([images, tf.reduce_mean(images, axis=-1, keepdims=True)], axis=-1) / 255.0


@pytest.mark.parametrize(("preprocess", "scale"), [("none", 1.0), ("0..1", 255.0), (lambda x: x / 255.0, 255.0)])
def test_a_model_of_one_channel_gets_the_luma(preprocess: Any, scale: float) -> None:
    loaded = load_model(ModelOptions(model=model_of(1), preprocess=preprocess))
    np.testing.assert_allclose(loaded.preprocess(tf.constant(RGB)), LUMA / scale, rtol=1e-5)
    assert any("one channel" in note for note in loaded.notes) == isinstance(preprocess, str)


@pytest.mark.parametrize("method", ["gradcam", "saliency"])
def test_methods_explain_a_greyscale_model(method: str) -> None:
    model = model_of(1)
    explainer = streamcam.Explainer(model, method, preprocess="0..1", precision="float32", target=1)
    explanation = explainer.explain(RGB.astype(np.uint8))
    expected = np.asarray(model(LUMA / 255.0))[:, 1]
    np.testing.assert_allclose(explanation.scores, expected, rtol=1e-3, atol=1e-3)
    assert np.isfinite(explanation.maps).all()


def test_other_numbers_of_channels_need_a_function() -> None:
    with pytest.raises(ModelError, match=r"takes \(N, 12, 16, 4\), images of 4 channels; .*--preprocess package"):
        load_model(ModelOptions(model=model_of(4)))
    model = model_of(4)
    explainer = streamcam.Explainer(model, preprocess=to_four, precision="float32", target=0)
    scores = explainer.explain(RGB.astype(np.uint8)).scores
    np.testing.assert_allclose(scores, np.asarray(model(to_four(tf.constant(RGB))))[:, 0], rtol=1e-3, atol=1e-3)


def test_a_function_that_returns_other_channels_is_named() -> None:
    loaded = load_model(ModelOptions(model=model_of(4), preprocess=lambda images: images))
    with pytest.raises(ModelError, match=r"returns images of 3 channels; expected \(N, height, width, 4\)"):
        loaded.preprocess(tf.constant(RGB))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_is_still_recognised(channels: int) -> None:
    model = keras.Sequential([keras.Input((channels, 28, 28)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ModelError, match="channels_first is not supported"):
        load_model(ModelOptions(model=model))


# KerasHub: the classes below serialise as `keras_hub.layers.ImageConverter`, `…ImageClassifierPreprocessor` and
# `…ImageClassifier` do (image_size, scale and offset in the converter, the converter in the preprocessor, the
# preprocessor in the model's configuration).


@keras.saving.register_keras_serializable("streamcam_tests")
class ImageConverter(layers.Layer):
    def __init__(self, image_size: Any = None, scale: Any = None, offset: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.image_size, self.scale, self.offset = image_size and tuple(image_size), scale, offset

    def get_config(self) -> dict[str, Any]:
        own = {"image_size": self.image_size, "scale": self.scale, "offset": self.offset}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("streamcam_tests")
class ImageClassifierPreprocessor(layers.Layer):
    def __init__(self, image_converter: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.image_converter = image_converter

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "image_converter": layers.serialize(self.image_converter)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{**config, "image_converter": layers.deserialize(config["image_converter"])})


@keras.saving.register_keras_serializable("streamcam_tests")
class ImageClassifier(keras.Model):
    def __init__(self, num_classes: int, preprocessor: Any = None, **options: Any) -> None:
        inputs = keras.Input((None, None, 3))
        x = layers.Conv2D(4, 3, activation="relu")(inputs)
        super().__init__(inputs, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(x)), **options)
        self.num_classes, self.preprocessor = num_classes, preprocessor

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes, "preprocessor": layers.serialize(self.preprocessor)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(config["num_classes"], layers.deserialize(config["preprocessor"]))


SCALE, OFFSET = [1 / 58.395, 1 / 57.12, 1 / 57.375], [-2.118, -2.036, -1.804]


@pytest.mark.parametrize(("scale", "offset"), [(SCALE, OFFSET), (1 / 255.0, None), (None, None)])
def test_the_preprocessor_in_a_model_file_is_used(tmp_path: Path, scale: Any, offset: Any) -> None:
    converter = ImageConverter((48, 64), scale, offset)
    ImageClassifier(3, ImageClassifierPreprocessor(converter)).save(tmp_path / "hub.keras")
    loaded = load_model(ModelOptions(model=str(tmp_path / "hub.keras")))
    assert (loaded.input_size, loaded.accepts_any_size) == ((64, 48), False)
    assert (loaded.preprocess_summary, loaded.preprocess_guess) == ("preprocessor", "")
    expected = RGB * (1 if scale is None else np.float32(scale)) + (0 if offset is None else np.float32(offset))
    np.testing.assert_allclose(loaded.preprocess(tf.constant(RGB)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_classifier_of_keras_hub_gets_what_its_own_preprocessor_makes(tmp_path: Path) -> None:
    hub = pytest.importorskip("keras_hub", reason="keras-hub and its dependencies take 250 MB")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )
    converter = hub.layers.ResNetImageConverter(image_size=(48, 64), scale=SCALE, offset=OFFSET)
    preprocessor = hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    model = hub.models.ResNetImageClassifier(backbone=backbone, preprocessor=preprocessor, num_classes=3)
    model.save(tmp_path / "hub.keras")
    loaded = load_model(ModelOptions(model=str(tmp_path / "hub.keras")))
    assert (loaded.input_size, loaded.preprocess_summary) == ((64, 48), "preprocessor")
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3)).astype(np.float32)
    inputs = loaded.preprocess(tf.constant(images))
    np.testing.assert_allclose(inputs, preprocessor(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loaded.call(inputs), model.predict(images, verbose=0), rtol=1e-4, atol=1e-5)


def test_a_keras_hub_file_without_keras_hub_names_the_package(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)]).save(tmp_path / "plain.keras")
    with zipfile.ZipFile(tmp_path / "plain.keras") as plain, zipfile.ZipFile(tmp_path / "hub.keras", "w") as hub:
        for name in plain.namelist():
            data = plain.read(name)
            if name == "config.json":
                config = json.loads(data)
                config |= {"module": "keras_hub.src.no_such_model", "class_name": "Model", "registered_name": "k>Model"}
                data = json.dumps(config).encode()
            hub.writestr(name, data)
    with pytest.raises(ModelError, match=r"hub\.keras needs keras-hub, which is not installed; pip install keras-hub"):
        load_model(ModelOptions(model=str(tmp_path / "hub.keras")))


def test_the_option_overrides_the_preprocessor() -> None:
    model = ImageClassifier(3, ImageClassifierPreprocessor(ImageConverter((48, 64), SCALE, OFFSET)))
    loaded = load_model(ModelOptions(model=model, preprocess="0..1"))
    assert (loaded.preprocess_name, loaded.accepts_any_size) == ("0..1", True)
