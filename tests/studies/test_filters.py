"""Feature visualisation: closed forms, every kind of layer, bad input, and files that are opened again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import streamcam
from streamcam.errors import LayerError, OptionError, TargetError
from streamcam.geometry import Size
from streamcam.options import FilterOptions
from streamcam.studies.filters.parametrization import _COLORS, FourierImages, MacoImages
from streamcam.studies.filters.robustness import transform
from streamcam.studies.filters.selection import parse_filters
from streamcam.tf import keras, tf
from tests.cli.runner import Result, cli

LABELS = ("cat", "dog, domestic", "cockatoo")
FAST: dict[str, Any] = {"octaves": 1, "learning_rate": 0.3}
PLAIN: dict[str, Any] = {"jitter": 0, "scale": 0.0, "rotation": 0.0, "octaves": 1, "preprocess": "0..1"}


def network(side: int | None = 32) -> Any:
    """A small classifier with most kinds of layers."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 127.5, -1, name="scaled")(image)
    x = layers.Conv2D(6, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="relu6")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    y = layers.Conv2D(6, 1, activation="gelu", name="pointwise")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x), name="small")


def tiny_network(side: int | None = 32) -> Any:
    """A convolution and classes: little to trace."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(layers.Rescaling(1 / 127.5, -1)(image))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="tiny")


@pytest.fixture(scope="module")
def small() -> Any:
    return network()


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_network()


@pytest.fixture(scope="module")
def plain(tiny: Any) -> streamcam.FilterStudy:
    """Filters 0 and 3 without penalties."""
    return streamcam.visualize_filters(tiny, layer="conv", filters="0,3", steps=20, history=3, **FAST)


def patch_model(kernel: Any) -> Any:
    """A model whose first layer multiplies each patch of the image with a kernel, without overlap."""
    side = kernel.shape[0]
    image = keras.Input((4 * side, 4 * side, 3))
    layer = keras.layers.Conv2D(kernel.shape[3], side, strides=side, use_bias=False, name="patches")
    x = keras.layers.GlobalAveragePooling2D()(layer(image))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    layer.set_weights([kernel])
    return model


def test_the_optimum_of_a_linear_filter_is_its_kernel() -> None:
    kernel = np.random.default_rng(0).normal(size=(8, 8, 3, 2)).astype(np.float32)
    study = streamcam.visualize_filters(
        patch_model(kernel), layer="patches", filters="0,1", steps=300, l2=1200.0, learning_rate=0.2, **PLAIN
    )
    for number, one in enumerate(study.filters):
        image = one.image / 255 - 0.5
        tiles = image.reshape(4, 8, 4, 8, 3).transpose(0, 2, 1, 3, 4).reshape(16, -1)
        expected = kernel[..., number].ravel()
        cosines = tiles @ expected / np.linalg.norm(tiles, axis=1) / np.linalg.norm(expected)
        assert cosines.min() > 0.9, cosines
        # Mean of the products with mid gray and the deviation from it: the deviation that balances the penalty.
        optimum = 0.5 * expected.sum() + expected @ (expected * 64 * 3 / (2 * 1200.0))
        assert one.end == pytest.approx(optimum, rel=0.1)
        assert one.end > one.start


def test_filters_together_and_alone_are_equal_and_a_seed_decides(tiny: Any, plain: Any) -> None:
    def study(seed: int) -> streamcam.FilterStudy:
        return streamcam.visualize_filters(tiny, layer="conv", filters=3, steps=20, seed=seed, **FAST)

    def pixels(one: streamcam.FilterImage) -> Any:
        return one.image.astype(int)

    (alone,), (reseeded,) = study(0).filters, study(1).filters
    other, together = plain.filters
    assert np.abs(pixels(together) - pixels(alone)).mean() < 0.5
    assert together.end == pytest.approx(alone.end, rel=0.02)
    assert np.abs(pixels(together) - pixels(other)).mean() > 5
    assert np.abs(pixels(together) - pixels(reseeded)).mean() > 5


def test_a_history_leads_from_the_noise_to_the_image(plain: Any) -> None:
    assert plain.history_steps == (0, 10, 20)
    for one in plain.filters:
        noise, middle, last = one.history
        assert noise.std() < middle.std() < last.std()
        np.testing.assert_array_equal(last, one.image)


def test_the_strength_scales_the_transformations() -> None:
    images = np.random.default_rng(0).uniform(size=(1, 16, 16, 3)).astype(np.float32)
    options = FilterOptions(steps=20, jitter=4)

    def change(strength: float) -> float:
        steps = [transform(images, options, tf.constant(step), strength).numpy() for step in range(10)]
        return float(np.mean([np.abs(one - images).mean() for one in steps]))

    assert change(0) == 0
    assert 0.01 < change(0.1) < change(1)
    assert not np.array_equal(*(transform(images, options, tf.constant(step)).numpy() for step in (0, 1)))


def test_a_relu_and_a_sum_are_excited(small: Any) -> None:
    study = streamcam.visualize_filters(small, layer="depthwise", filters="1,0+2", steps=20, **FAST)
    for one in study.filters:
        assert one.image.shape == (32, 32, 3)
        assert one.peak > one.end > max(one.start, one.random)
    assert study.filters[1].channels == (0, 2)


def test_classes_need_no_layer(small: Any) -> None:
    study = streamcam.visualize_filters(small, layer="no such", filters="class:dog, domestic,class:2", labels=LABELS,
                                        steps=20, **FAST)  # fmt: skip
    assert study.layer == ""
    assert [(one.label, one.class_index) for one in study.filters] == [("dog, domestic", 1), ("cockatoo", 2)]
    logits = keras.Model(small.input, small.get_layer("average").output)
    weights, bias = small.get_layer("classes").get_weights()
    for one in study.filters:
        assert one.class_index is not None
        expected = (logits(one.image[None].astype(np.float32)).numpy() @ weights + bias)[0, one.class_index]
        assert one.end == pytest.approx(expected, rel=1e-3, abs=1e-4)
        assert one.end > one.start


def test_activations_are_those_of_the_layer(small: Any) -> None:
    weights = [weight.numpy() for weight in small.weights]
    study = streamcam.visualize_filters(small, layer="relu6", filters="strongest:2", steps=3, octaves=1)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(weights, small.weights, strict=True))
    assert study.filters[0].image.shape == (32, 32, 3)
    before_relu = keras.Model(small.input, small.get_layer("norm").output)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8).astype(np.float32)
    means = np.maximum(before_relu(pixels).numpy(), 0).mean(axis=(0, 1, 2))
    assert [one.channels[0] for one in study.filters] == list(np.argsort(-means)[:2])
    for one in study.filters:
        assert one.random == pytest.approx(means[one.channels[0]], rel=1e-4)
        activations = np.maximum(before_relu(one.image[None].astype(np.float32)).numpy(), 0)[..., one.channels[0]]
        assert one.end == pytest.approx(activations.mean(), rel=1e-4)
        assert one.peak == pytest.approx(activations.max(), rel=1e-4)


def test_models_of_any_size_take_the_requested_one() -> None:
    study = streamcam.visualize_filters(tiny_network(None), layer="conv", filters=0, steps=3, size=24)
    assert study.filters[0].image.shape == (24, 24, 3)


def test_penalties_have_their_effect(tiny: Any) -> None:
    def image(**penalties: float) -> Any:
        study = streamcam.visualize_filters(
            tiny, layer="conv", filters=0, steps=20, octaves=1, learning_rate=0.1, **penalties
        )
        return study.filters[0].image / 255

    penalized, free = image(tv=100.0, l2=100.0), image()
    assert np.abs(np.diff(penalized, axis=0)).mean() < 0.5 * np.abs(np.diff(free, axis=0)).mean()
    assert ((penalized - 0.5) ** 2).mean() < 0.5 * ((free - 0.5) ** 2).mean()


@pytest.mark.parametrize(("small_size", "large_size"), [((16, 16), (32, 32)), ((9, 7), (18, 14)), ((8, 11), (17, 22))])
def test_an_enlarged_image_has_the_same_spectrum(small_size: Size, large_size: Size) -> None:
    images = FourierImages(small_size)
    coordinates = images.start([[0], [1]])
    # Without the highest frequency, which has no sign at an even size.
    coordinates[:, :, :, small_size[1] // 2 : small_size[1] // 2 + 1] = 0
    coordinates[..., small_size[0] // 2 :] = 0
    larger, enlarged = images.enlarge(coordinates, large_size)
    logits = [np.log(one / (1 - one)) for one in (images.render(coordinates).numpy(), larger.render(enlarged).numpy())]
    spectra = [np.fft.fft2(one, axes=(1, 2), norm="forward") for one in logits]
    for row in range(-(small_size[1] // 2) + 1, small_size[1] // 2):
        for column in range(-(small_size[0] // 2) + 1, small_size[0] // 2):
            np.testing.assert_allclose(spectra[1][:, row, column], spectra[0][:, row, column], atol=1e-5)


def test_maco_keeps_the_magnitudes_and_excites(tiny: Any) -> None:
    images = MacoImages((16, 12))
    start = images.start([[0], [1]])
    _, enlarged = images.enlarge(start, (32, 24))
    np.testing.assert_array_equal(enlarged[:, :, :6, :9], start[:, :, :6])
    np.testing.assert_array_equal(enlarged[:, :, -6:, :9], start[:, :, 6:])
    rendered = [images.render(phases).numpy().astype(float) for phases in (start, start[::-1] * 0.5)]
    planes = [np.log(one / (1 - one)) @ np.linalg.inv(_COLORS).T for one in rendered]
    first, other = (np.abs(np.fft.rfft2(one, axes=(1, 2)))[:, :, 1:-1] for one in planes)
    frequencies = np.hypot(np.fft.fftfreq(12)[:, None], np.fft.rfftfreq(16)[None])[:, 1:-1, None]
    np.testing.assert_allclose(first, other, rtol=0.01)
    np.testing.assert_allclose(first * frequencies, (first * frequencies).mean() + 0 * first, rtol=0.01)
    study = streamcam.visualize_filters(tiny, layer="conv", filters=0, steps=30, parametrization="maco", **FAST)
    assert study.filters[0].end > study.filters[0].start


def test_the_text_of_filters() -> None:
    def labels_of(text: str) -> list[str]:
        return [one.label for one in parse_filters(text, LABELS, 20, lambda: [7, 3, 9])]

    assert labels_of("0-2, 5,1") == ["0", "1", "2", "5"]
    assert labels_of("3+17,class:cat,strongest:2") == ["3+17", "cat", "7", "3"]
    assert labels_of("class:dog, domestic,4") == ["dog, domestic", "4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid --filters ''.*strongest:N"),
        ("x", "invalid --filters 'x'"),
        ("5-3", "the smaller number first"),
        ("0-999999", "a range of 1 to 256"),
        ("20", "no filter 20 .*0 to 19"),
        ("3+20", "no filter 20"),
        ("strongest:0", "strongest:1 to strongest:20"),
        ("class:top", "unknown class of --filters"),
    ],
)
def test_wrong_filters_are_named(text: str, message: str) -> None:
    with pytest.raises((OptionError, TargetError), match=message):
        parse_filters(text, LABELS, 20, lambda: range(20))


def test_bad_input_is_named(small: Any, tiny: Any) -> None:
    with pytest.raises(LayerError, match="unknown layer 'relu'; did you mean 'relu6'"):
        streamcam.visualize_filters(small, layer="relu")
    with pytest.raises(OptionError, match="invalid --steps 0"):
        streamcam.visualize_filters(small, steps=0)
    with pytest.raises(TargetError, match="unknown class of --filters 'bird'"):
        streamcam.visualize_filters(small, filters="class:bird", labels=LABELS)
    with pytest.raises(OptionError, match="no filter 6"):
        streamcam.visualize_filters(tiny, layer="conv", filters="0-6")


@pytest.fixture(scope="module")
def model_file(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    tiny.save(path)
    return path


def command(*arguments: object) -> Result:
    return cli("filters", *arguments)


def test_the_command_writes_a_video_and_json(model_file: Path, tmp_path: Path) -> None:
    video, sheet = tmp_path / "ascent.mp4", tmp_path / "sheet.png"
    ended = command(
        model_file, "--layer", "conv", "--filters", "0-4", "--steps", 4, "--octaves", 1, "-o", video, "--json", "-q"
    )
    assert ended.exit_code == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["layer"], result["steps"], result["seed"], result["output"]) == ("conv", 4, 0, str(video))
    assert [one["filter"] for one in result["filters"]] == ["0", "1", "2", "3", "4"]
    assert all(one["peak"] >= one["end"] > one["start"] for one in result["filters"])
    with av.open(str(video)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert frames[0].shape[1] > 3 * 192
    assert np.abs(frames[-1] - frames[0]).mean() > 1
    sheet.touch()
    again = command(model_file, "--layer", "conv", "--filters", "0", "--steps", 1, "-o", sheet)
    assert (again.exit_code, "exists" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--layer", "comv"], 1, "did you mean 'conv'"),
        (["--filters", "99"], 2, "no filter 99"),
        (["--steps", "0"], 2, "invalid --steps 0"),
        (["-o", "sheet.txt"], 2, "suffix '.txt'"),
        (["-o", "no/such/folder/sheet.png"], 1, "does not exist"),
    ],
)
def test_the_command_refuses(model_file: Path, arguments: list[str], code: int, message: str) -> None:
    ended = command(model_file, *arguments, "--json")
    assert (ended.exit_code, message in json.loads(ended.stdout)["error"]) == (code, True)
