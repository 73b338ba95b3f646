from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine.graph.logits import find_logits
from streamcam.errors import ModelError, StreamcamError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

pytestmark = pytest.mark.slow

layers = keras.layers
Save = Callable[[Any, Path], Any]

IMAGES = np.random.default_rng(3).uniform(0, 1, (2, 12, 16, 3)).astype(np.float32)


def functional(activation: str = "relu", head: str = "softmax", size: tuple[int | None, ...] = (12, 16)) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((*size, 3), name="pic")
    x = layers.Conv2D(6, 3, strides=2, activation=activation)(inputs)
    x = layers.BatchNormalization(momentum=0.5)(x)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same", activation=activation)(x)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation=head)(layers.Dropout(0.5)(x)))


def sequential() -> Any:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((12, 16, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5),
            layers.Softmax(),
        ]
    )


class CustomModel(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(4, 3, activation="gelu")
        self.dense = layers.Dense(5, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(self.conv(x), axis=(1, 2)))


def subclassed_model() -> Any:
    keras.utils.set_random_seed(3)
    model = CustomModel()
    model(IMAGES)
    return model


def export(model: Any, path: Path) -> None:
    model.export(path, verbose=False)


def save_model(model: Any, path: Path) -> None:
    tf.saved_model.save(model, str(path))


def message(error: pytest.ExceptionInfo[StreamcamError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def trace_call(call: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Output, logits and the gradient of the first class's logit, on the graph; and the operations in it."""
    kinds: list[str] = []

    @tf.function(autograph=False)
    def forward(images: Any) -> Any:
        output = call(images)
        head = find_logits(output)
        kinds.extend(operation.type for operation in output.graph.get_operations())
        return output, head.logits, tf.gradients(head.logits[:, 0], images)[0]

    output, logits, gradient = forward(tf.constant(IMAGES))
    return output.numpy(), logits.numpy(), gradient.numpy(), kinds


@pytest.mark.slow
@pytest.mark.parametrize("save", [export, save_model])
@pytest.mark.parametrize(
    "build",
    [
        functional,
        sequential,
        subclassed_model,
        lambda: functional("silu"),
        lambda: functional("relu6", "sigmoid"),
        lambda: functional(head="linear"),
    ],
    ids=["functional", "sequential", "subclassed", "silu", "sigmoid", "no softmax"],
)
def test_it_computes_what_the_model_computes(tmp_path: Path, build: Callable[[], Any], save: Save) -> None:
    original = build()
    save(original, tmp_path / "net")
    loaded = load_model(ModelOptions(model=str(tmp_path / "net")))
    assert (loaded.name, len(loaded.labels), loaded.accepts_any_size) == ("net", 5, False)
    expected = trace_call(lambda images: original(images, training=False))
    found = trace_call(loaded.call)
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert np.abs(found[2]).max() > 1e-5
    np.testing.assert_allclose(loaded.call(IMAGES), expected[0], rtol=1e-4, atol=1e-6)  # without a graph, too
    for kind in ("Conv2D", "DepthwiseConv2dNative", "Relu", "Relu6", "Softmax", "Sigmoid"):
        assert (kind in found[3]) == (kind in expected[3]), kind
    assert not {kind for kind in found[3] if "Call" in kind or "Variable" in kind}


def test_shapes_are_known_on_the_graph_for_a_model_of_any_size(tmp_path: Path) -> None:
    export(functional(size=(None, None)), tmp_path / "net")
    loaded = load_model(ModelOptions(model=str(tmp_path / "net")))
    assert (loaded.input_size, loaded.accepts_any_size) == ((224, 224), True)
    shapes: list[Any] = []

    @tf.function(autograph=False)
    def forward(images: Any) -> Any:
        output = loaded.call(images)
        feature_maps = [o.outputs[0].shape for o in output.graph.get_operations() if o.type == "DepthwiseConv2dNative"]
        shapes.extend([output.shape, *feature_maps])
        return output

    forward(tf.constant(IMAGES))
    assert shapes == [(2, 5), (2, 5, 7, 6)]


def test_options_go_with_it(tmp_path: Path) -> None:
    export(functional(), tmp_path / "net")
    loaded = load_model(ModelOptions(model=tmp_path / "net", preprocess="0..1", labels=["a", "b", "c", "d", "e"]))
    assert (loaded.input_size, loaded.preprocess_name, loaded.labels[4], loaded.notes) == ((16, 12), "0..1", "e", ())


def test_several_inputs_are_fed_by_name(tmp_path: Path) -> None:
    first, other = keras.Input((12, 16, 3), name="pic"), keras.Input((2,), name="age")
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(first)), other])
    original = keras.Model({"pic": first, "age": other}, layers.Dense(4)(joined))
    export(original, tmp_path / "net")
    loaded = load_model(ModelOptions(model=str(tmp_path / "net"), extra_input={"age": "[1, 2.5]"}))
    rows = np.array([[1, 2.5]] * 2, np.float32)
    np.testing.assert_allclose(loaded.call(IMAGES), original({"pic": IMAGES, "age": rows}), rtol=1e-5)
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=str(tmp_path / "net")))
    assert "age (N, 2); add --extra-input age=VALUE" in message(caught)


# Signatures


class Functions(tf.Module):
    """What people write without Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 12, 16, 3), tf.uint8)])
    def run(self, images: Any) -> Any:
        return {"scores": tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2)) @ self.kernel}

    @tf.function(input_signature=[tf.TensorSpec((None, 12, 16, 3), tf.float32)])
    def both(self, rgb_images: Any) -> Any:
        return {"a": tf.reduce_mean(rgb_images, axis=(1, 2)), "b": tf.reduce_max(rgb_images, axis=(1, 2))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def text(self, words: Any) -> Any:
        return {"length": tf.strings.length(words)[:, None]}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def anything(self, x: Any) -> Any:
        return {"x": x}


def write_module(path: Path, **signatures: str) -> str:
    module = Functions()
    tf.saved_model.save(module, str(path), {key: getattr(module, name) for key, name in signatures.items()})
    return str(path)


def test_uint8_images_are_rounded_and_clipped(tmp_path: Path) -> None:
    loaded = load_model(ModelOptions(model=write_module(tmp_path / "net", serving_default="run", other="text")))
    assert loaded.notes[0] == "preprocess none: net takes uint8"
    images = np.full((1, 12, 16, 3), 7.6, np.float32)
    images[:, :, 8:] = [-3, 300, 7.4]
    kernel = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(loaded.call(images), np.array([[4, 131.5, 7.5]]) @ kernel, rtol=1e-4)


@pytest.mark.parametrize("signatures", [{"serve": "run", "a": "text"}, {"my_own": "run"}])
def test_the_signature_that_is_taken(tmp_path: Path, signatures: dict[str, str]) -> None:
    assert len(load_model(ModelOptions(model=write_module(tmp_path / "net", **signatures))).labels) == 4


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ({"y": "text", "x": "run"}, "has 2 signatures: x, y; expected serving_default or serve; export it again"),
        ({}, "has no signature; expected a SavedModel folder"),
        ({"serve": "both"}, "net has 2 outputs; expected one, (N, classes), as of a classifier"),
        ({"serve": "text"}, "net takes (N,); expected RGB images (N, height, width, 3)"),
        ({"serve": "anything"}, "expected a tensor of known rank"),
    ],
)
def test_folders_that_hold_no_classifier(tmp_path: Path, signatures: dict[str, str], expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=write_module(tmp_path / "net", **signatures)))
    assert expected in message(caught)


def test_channels_first(tmp_path: Path) -> None:
    original = keras.Sequential([keras.Input((3, 8, 8)), layers.Flatten(), layers.Dense(2)])
    export(original, tmp_path / "net")
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=str(tmp_path / "net")))
    assert "net takes (N, 3, 8, 8); channels_first is not supported" in message(caught)


def empty(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"")


def cut(folder: Path) -> None:
    data = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(data[: len(data) // 2])


def overwritten(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"text\n" * 100)


def without_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def with_short_variables(folder: Path) -> None:
    data = next((folder / "variables").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:50])


def with_a_broken_index(folder: Path) -> None:
    next((folder / "variables").glob("*.index")).write_bytes(b"xx")


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [empty, cut, overwritten, without_variables, with_short_variables, with_a_broken_index]
)
def test_damaged_folders(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    export(sequential(), tmp_path / "net")
    damage(tmp_path / "net")
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=str(tmp_path / "net")))
    assert message(caught).startswith(f"model {tmp_path / 'net'} ")
    assert message(caught).endswith("expected a SavedModel folder as model.export(...) writes it")
