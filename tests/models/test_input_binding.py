from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, OptionError
from streamcam.models import LoadedModel, load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

from .error_message import message

pytestmark = pytest.mark.slow

layers = keras.layers

IMAGES = np.random.default_rng(5).random((3, 8, 10, 3), np.float32)
AGE, MODE = [0.5, -2.0, 3.0, 1.5], 2
AGES = np.array([AGE] * 3, np.float32)
MODES = np.full((3, 1), MODE, np.int32)
EXTRA_INPUTS = {"age": AGE, "mode": MODE}


def model_of(structure: Callable[[Any, Any, Any], Any], *, second: tuple[int, ...] = (4,)) -> Any:
    """Images, four numbers and the number of an embedding, declared in some structure."""
    image = keras.Input((8, 10, 3), name="picture")
    age, mode = keras.Input(second, name="age"), keras.Input((1,), name="mode", dtype="int32")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    joined = layers.Concatenate()([seen, layers.Flatten()(age), layers.Flatten()(layers.Embedding(5, 3)(mode))])
    return keras.Model(structure(image, age, mode), layers.Dense(3, activation="softmax")(joined))


def as_list(image: Any, age: Any, mode: Any) -> Any:
    return [image, age, mode]


def as_tuple(image: Any, age: Any, mode: Any) -> Any:
    return (mode, image, age)


def as_dict(image: Any, age: Any, mode: Any) -> Any:
    return {"picture": image, "mode": mode, "age": age}


def as_tree(image: Any, age: Any, mode: Any) -> Any:
    return {"seen": {"picture": image}, "known": [age, mode]}


STRUCTURES = [as_list, as_tuple, as_dict, as_tree]


def load(model: Any, extra_inputs: dict[str, Any] | None = None, image_input: str = "") -> LoadedModel:
    options = ModelOptions(
        model=model,
        preprocess="none",
        labels=["x", "y", "z"],
        extra_input=EXTRA_INPUTS if extra_inputs is None else extra_inputs,
        image_input=image_input,
    )
    return load_model(options)


def trace_call(found: LoadedModel, batch: int | None = None) -> np.ndarray:
    """What the engine gets: the call on a graph."""
    specification = tf.TensorSpec((batch, *IMAGES.shape[1:]), tf.float32)
    return tf.function(found.call, input_signature=[specification], autograph=False)(IMAGES).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [3, None])
@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_structure_is_the_declared_one(tmp_path: Path, structure: Any, from_file: bool, batch: int | None) -> None:
    model = model_of(structure)
    expected = model(structure(IMAGES, AGES, MODES), training=False)
    model.save(tmp_path / "m.keras")
    found = load(str(tmp_path / "m.keras") if from_file else model)
    assert found.input_size == (10, 8)
    np.testing.assert_allclose(trace_call(found, batch), expected, rtol=1e-5)
    np.testing.assert_allclose(found.call(IMAGES), expected, rtol=1e-5)


def brightness(images: Any) -> Any:
    """Four numbers for every image."""
    return tf.stack([tf.reduce_mean(images[..., n % 3], axis=(1, 2)) for n in range(4)], axis=1)


@pytest.mark.parametrize(
    "given",
    [AGE, tuple(AGE), np.array(AGE), np.array([AGE]), "[0.5, -2, 3, 1.5]", " [[0.5, -2.0, 3e0, 1.5]] ", "age.npy",
     Path("age.npy"), tf.constant(AGE), lambda images: AGES, lambda images: tf.constant(AGES, tf.float64)],
)  # fmt: skip
def test_a_row_may_be_given_in_many_ways(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "age.npy", np.array(AGE))
    monkeypatch.chdir(tmp_path)
    model = model_of(as_list)
    expected = model([IMAGES, AGES, MODES])
    np.testing.assert_allclose(trace_call(load(model, {"age": given, "mode": "2"}), 3), expected, rtol=1e-5)


def test_a_number_fills_the_row() -> None:
    model = model_of(as_list, second=(2, 2))
    expected = model([IMAGES, np.full((3, 2, 2), 0.25), MODES])
    np.testing.assert_allclose(trace_call(load(model, {"age": "0.25", "mode": 2})), expected, rtol=1e-5)


def test_functions_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_feed.py").write_text(
        "import tensorflow as tf\n"
        "def bright(images):\n"
        "    return tf.cast(tf.reduce_mean(images, axis=(1, 2))[:, :1] > 0.5, tf.float32) * 4\n"
    )
    monkeypatch.chdir(tmp_path)
    model = model_of(as_dict)
    modes = (IMAGES.mean(axis=(1, 2))[:, :1] > 0.5).astype(np.int32) * 4
    ages = np.stack([IMAGES[..., n % 3].mean(axis=(1, 2)) for n in range(4)], axis=1)
    expected = model({"picture": IMAGES, "age": ages, "mode": modes})
    found = trace_call(load(model, {"age": brightness, "mode": "my_feed:bright"}))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_function_is_in_the_graph_so_that_gradients_pass_through_it() -> None:
    model = model_of(as_list)
    found = load(model, {"age": brightness, "mode": 2})

    @tf.function(autograph=False)
    def gradient(images: Any) -> Any:
        return tf.gradients(found.call(images)[:, 0], images)[0]

    rgb_images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(rgb_images)
        score = model([rgb_images, brightness(rgb_images), tf.constant(MODES)])[:, 0]
    np.testing.assert_allclose(gradient(tf.constant(IMAGES)), tape.gradient(score, rgb_images), atol=1e-6)


# Which input takes the images


def two_image_inputs() -> Any:
    left, right = keras.Input((8, 10, 3), name="left"), keras.Input((8, 10, 3), name="right")
    conv = layers.Conv2D(4, 3)
    seen = [layers.GlobalAveragePooling2D()(conv(one)) for one in (left, right)]
    return keras.Model([left, right], layers.Dense(3)(layers.Concatenate()(seen)))


def test_the_image_input_is_named_or_the_only_one_that_is_not_fed() -> None:
    model = two_image_inputs()
    black = np.zeros_like(IMAGES)
    for name in ("", "right"):
        found = load(model, {"left": 0}, name)
        np.testing.assert_allclose(trace_call(found), model([black, IMAGES]), rtol=1e-5)
    same = load(model, {"right": lambda images: images}, "left")
    np.testing.assert_allclose(trace_call(same), model([IMAGES, IMAGES]), rtol=1e-5)


def no_image_input() -> Any:
    one, other = keras.Input((8,), name="one"), keras.Input((8, 8, 1), name="other")
    return keras.Model([one, other], layers.Dense(3)(layers.Concatenate()([one, layers.Flatten()(other)])))


def channels_first_inputs() -> Any:
    one, other = keras.Input((3, 8, 8), name="one"), keras.Input((8,), name="other")
    return keras.Model([one, other], layers.Dense(3)(layers.Concatenate()([layers.Flatten()(one), other])))


def single() -> Any:
    return keras.Sequential([keras.Input((8, 10, 3), name="picture"), layers.Flatten(), layers.Dense(3)])


@pytest.mark.parametrize(
    ("build", "feed", "image_input", "expected"),
    [
        (
            two_image_inputs,
            {},
            "",
            "can take images: left (N, 8, 10, 3), right (N, 8, 10, 3); choose one with --image-input",
        ),
        (two_image_inputs, {}, "lefd", "unknown --image-input 'lefd': no input of m; did you mean 'left'?"),
        (
            two_image_inputs,
            {"left": 0},
            "left",
            "invalid --extra-input left: this input takes the images; set the other inputs only",
        ),
        (two_image_inputs, {"left": 0, "right": 0}, "", "invalid --extra-input left: this input takes the images"),
        (
            two_image_inputs,
            {},
            "left",
            "m needs a value for each of its other inputs: right (N, 8, 10, 3); add --extra-input",
        ),
        (
            no_image_input,
            {},
            "",
            "m needs a value for each of its other inputs: one (N, 8); add --extra-input one=VALUE",
        ),
        (no_image_input, {}, "one", "input one of m takes (N, 8); expected RGB images (N, height, width, 3)"),
        (no_image_input, {}, "other", "m needs a value for each of its other inputs: one (N, 8)"),
        (channels_first_inputs, {}, "", "input one of m takes (N, 3, 8, 8); channels_first is not supported"),
        (
            lambda: model_of(as_dict),
            {},
            "",
            "age (N, 4), mode (N, 1); add --extra-input age=VALUE --extra-input mode=VALUE",
        ),
        (lambda: model_of(as_list), {"age": AGE}, "", "its other inputs: mode (N, 1); add --extra-input mode=VALUE"),
        (lambda: model_of(as_list), {"agee": 1}, "", "unknown --extra-input 'agee': no input of m; did you mean 'age'"),
        (single, {"age": 1}, "", "unknown --extra-input 'age': no input of m; its inputs are picture (N, 8, 10, 3)"),
        (single, {"picture": 1}, "", "invalid --extra-input picture: this input takes the images"),
        (single, {}, "image", "unknown --image-input 'image': no input of m"),
    ],
)
def test_inputs_that_cannot_be_wired(build: Any, feed: dict[str, Any], image_input: str, expected: str) -> None:
    model = build()
    model.name = "m"
    with pytest.raises(ModelError) as caught:
        load(model, feed, image_input)
    assert expected in message(caught)


def test_the_only_input_may_be_named() -> None:
    model = single()
    np.testing.assert_allclose(trace_call(load(model, {}, "picture")), model(IMAGES), rtol=1e-5)


# Values that cannot be used


@pytest.mark.parametrize(
    ("feed", "expected"),
    [
        (
            {"age": [1, 2, 3]},
            "invalid --extra-input age: of shape (3,); expected (N, 4) without N, the same for every image",
        ),
        ({"age": AGES}, "invalid --extra-input age: of shape (3, 4)"),
        (
            {"age": "[1, [2]]"},
            "invalid --extra-input age=[1, [2]]: not numbers in rows of equal length; expected a number",
        ),
        ({"age": "{}"}, "invalid --extra-input age={}: not numbers"),
        ({"age": '"old"'}, "not numbers in rows"),
        ({"age": None}, "invalid --extra-input age=None: not numbers"),
        (
            {"age": "old"},
            "invalid --extra-input age=old; expected a number, a list of numbers, an array, a .npy",
        ),
        ({"age": "none.npy"}, "--extra-input age=none.npy cannot be read: No such file or directory"),
        ({"age": "damaged.npy"}, "--extra-input age=damaged.npy cannot be read: not an array of numbers"),
        ({"age": "objects.npy"}, "--extra-input age=objects.npy cannot be read: not an array of numbers"),
        ({"mode": 1.5}, "invalid --extra-input mode: values outside int32; expected int32 numbers"),
        ({"mode": 2**40}, "invalid --extra-input mode: values outside int32"),
        ({"age": "nowhere:f"}, "nowhere:f cannot be imported: no module nowhere"),
    ],
)
def test_values_that_cannot_be_used(
    feed: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.npy").write_bytes(b"\x93NUMPY")
    np.save("objects.npy", np.array([{}, None]))
    with pytest.raises((OptionError, ModelError)) as caught:
        load(model_of(as_list), {**EXTRA_INPUTS, **feed})
    assert expected in message(caught)


def failing(images: Any) -> Any:
    raise ValueError("no\nluck")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (failing, "the function of --extra-input age failed: ValueError: no"),
        (lambda images: None, "the function of --extra-input age failed: ValueError"),
        (lambda images: images, "returned (3, 8, 10, 3); expected (N, 4), N = 3"),
        (lambda images: np.zeros((2, 4)), "returned (2, 4); expected (N, 4), N = 3"),
        (lambda images: 1.0, "returned (); expected (N, 4), N = 3"),
    ],
)
def test_functions_that_cannot_be_used(function: Any, expected: str) -> None:
    found = load(model_of(as_list), {"age": function, "mode": 1})
    with pytest.raises(ModelError) as caught:
        trace_call(found, 3)
    assert expected in message(caught)


# Subclassed models, which do not declare their inputs


class Named(keras.Model):
    """Takes a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embedding, self.dense = layers.Conv2D(4, 3), layers.Embedding(5, 3), layers.Dense(3)

    def call(self, x: Any) -> Any:
        seen = keras.ops.mean(self.conv(x["picture"]), axis=(1, 2))
        known = layers.Flatten()(self.embedding(x["mode"]))
        return self.dense(keras.ops.concatenate([seen, x["age"], known], axis=1))


@pytest.mark.parametrize("built", [False, True])
def test_a_subclassed_model_is_called_with_a_dict(built: bool) -> None:
    model = Named()
    values = {"picture": IMAGES, "age": AGES, "mode": MODES}
    if built:
        model(values)
    found = load(model, EXTRA_INPUTS, "picture")
    assert found.input_size == ((10, 8) if built else (224, 224))
    np.testing.assert_allclose(trace_call(found), model(values), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("built", "feed", "image_input", "expected"),
    [
        (
            False,
            EXTRA_INPUTS,
            "",
            "does not declare its inputs: --extra-input also needs --image-input; add --image-input NAME",
        ),
        (False, {"age": AGE}, "picture", "does not accept an image of 224x224: KeyError: mode"),
        (
            False,
            {**EXTRA_INPUTS, "picture": 1},
            "picture",
            "invalid --extra-input picture: this input takes the images",
        ),
        (True, {"age": AGE}, "picture", "its other inputs: mode (N, 1); add --extra-input mode=VALUE"),
        (True, EXTRA_INPUTS, "pictures", "unknown --image-input 'pictures': no input of "),
        (True, EXTRA_INPUTS, "age", "invalid --extra-input age: this input takes the images"),
    ],
)
def test_subclassed_models_that_cannot_be_wired(
    built: bool, feed: dict[str, Any], image_input: str, expected: str
) -> None:
    model = Named()
    if built:
        model({"picture": IMAGES, "age": AGES, "mode": MODES})
    with pytest.raises(ModelError) as caught:
        load(model, feed, image_input)
    assert expected in message(caught)


class Alone(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(x, axis=(1, 2)))


def test_a_subclassed_model_of_images_alone_takes_no_name() -> None:
    model = Alone()
    expected = model(IMAGES)
    np.testing.assert_allclose(trace_call(load(model, {})), expected, rtol=1e-5)
    with pytest.raises(ModelError, match=r"invalid --image-input picture: .* takes only images, as an unnamed input"):
        load(model, {}, "picture")
