from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.engine.runtime import devices as engine_devices
from streamcam.engine.runtime import precision
from streamcam.engine.runtime.devices import cpu_has_bfloat16, list_devices, resolve_devices
from streamcam.engine.runtime.precision import choose_precision, cosine, load_probe_images
from streamcam.errors import DeviceError, OptionError
from streamcam.tf import keras

from .executables import build_executable, random_images, scale
from .models import CLASSES, HEIGHT, WIDTH, functional, mixed_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512_bf16 sse", True), ("amx_bf16", True), ("fpu avx2 avx512f", False), ("", False)],
)
def test_bfloat16_is_read_from_cpuinfo(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : avx512_bf16\n")
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") is expected
    assert cpu_has_bfloat16(tmp_path / "missing") is False


@pytest.fixture(scope="module")
def executable() -> Any:
    return build_executable(functional())


def with_maps(executable: Any, change: Any) -> Any:
    """The same executable with the maps that another arithmetic would give."""
    maps = np.random.default_rng(0).random((executable.batch, 4, 6), np.float32)

    def first(codes: Any, images: Any) -> Any:
        shared, ((*summary, _),) = executable.first(codes, images)
        return shared, [[*summary, change(maps)]]

    return replace(executable, first=first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        (lambda maps: maps * 1.001, "bfloat16"),
        (lambda maps: maps + np.eye(4, 6, dtype=np.float32), "float32"),
        (lambda maps: maps * 0, "float32"),
        (lambda maps: maps * float("nan"), "float32"),
    ],
)
def test_auto_takes_bfloat16_only_where_the_maps_agree(
    executable: Any, monkeypatch: pytest.MonkeyPatch, change: Any, chosen: str
) -> None:
    monkeypatch.setattr(engine_devices, "cpu_has_bfloat16", lambda: True)
    builds = {"float32": with_maps(executable, lambda maps: maps), "bfloat16": with_maps(executable, change)}
    assert choose_precision("auto", ("cpu",), builds.__getitem__)[0] == chosen
    assert choose_precision("float32", ("cpu",), builds.__getitem__) == ("float32", [])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["saliency", "guided-gradcam", "smoothgrad"])
def test_auto_goes_back_to_the_input_in_float32(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(engine_devices, "cpu_has_bfloat16", lambda: True)
    exact = build_executable(functional(), method)
    chosen, notes = choose_precision("auto", ("cpu",), {"float32": exact}.__getitem__)
    assert chosen == "float32"
    assert "slower for gradients" in notes[0]
    assert not build_executable(functional(), "gradcam").method.needs_input_gradient


@pytest.mark.parametrize(
    ("seconds", "change", "chosen"),
    [
        ((1.0, 0.8), lambda maps: maps * 1.001, "float16"),
        ((1.0, 1.27), lambda maps: maps * 1.001, "float32"),
        ((1.0, 0.5), lambda maps: maps * 0, "float32"),
    ],
    ids=["faster", "slower", "faster and wrong"],
)
@pytest.mark.parametrize("method", ["gradcam", "saliency"])
def test_a_gpu_takes_float16_only_if_it_is_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, method: str, seconds: tuple[float, float], change: Any, chosen: str
) -> None:
    monkeypatch.setattr(precision, "half_precision", lambda devices: "float16")
    exact = build_executable(functional(), method)
    builds = {"float32": with_maps(exact, lambda maps: maps), "float16": with_maps(exact, change)}
    times = iter(seconds)
    monkeypatch.setattr(precision, "seconds_per_image", lambda executable, *, few_passes: next(times))
    found, notes = choose_precision("auto", ("gpu:0",), builds.__getitem__)
    assert found == chosen
    assert notes[0].startswith(f"precision {chosen}: ")


def test_auto_leaves_scores_that_are_compared_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_devices, "cpu_has_bfloat16", lambda: True)
    exact = build_executable(functional(), "occlusion", params={"patch": 16, "stride": 16})
    chosen, notes = choose_precision("auto", ("cpu",), {"float32": exact}.__getitem__)
    assert chosen == "float32"
    assert "compares scores" in notes[0]


def test_without_the_instructions_there_is_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_devices, "cpu_has_bfloat16", lambda: False)

    def build(precision: str) -> Any:
        raise AssertionError("nothing is to be compared")

    assert choose_precision("auto", ("cpu",), build) == ("float32", [])
    with pytest.raises(OptionError, match="AVX512-BF16"):
        choose_precision("bfloat16", ("cpu",), build)


def test_cosine() -> None:
    one = np.array([[3.0, 4.0]], np.float32)
    assert cosine(one, 2 * one) == pytest.approx(1)
    assert cosine(one, np.array([[4.0, -3.0]], np.float32)) == pytest.approx(0)
    assert cosine(0 * one, 0 * one) == 1
    assert cosine(one, 0 * one) == 0


def test_probes_have_the_size_asked_for_and_something_on_them() -> None:
    images = load_probe_images((WIDTH, HEIGHT))
    assert images.shape == (2, HEIGHT, WIDTH, 3)
    assert images.dtype == np.uint8
    assert images.std() > 30


def test_devices_are_named_or_refused() -> None:
    assert list_devices()[0] == "cpu"
    assert (
        resolve_devices("CPU")
        == resolve_devices("cpu:0")
        == resolve_devices("auto")
        == resolve_devices("all")
        == ("cpu",)
    )
    for wrong in ("gpu:7", "cpu,gpu:7", "cpu:1", "", "tpu"):
        with pytest.raises(DeviceError, match="auto, all or one or more of cpu"):
            resolve_devices(wrong)


def test_cpu_and_gpus_do_not_work_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_devices, "list_devices", lambda: ["cpu", "gpu:0", "gpu:1"])
    assert resolve_devices("all") == resolve_devices(" gpu, GPU:1") == ("gpu:0", "gpu:1")
    with pytest.raises(DeviceError, match="one kind"):
        resolve_devices("cpu,gpu:1")


def test_gpus_that_differ_have_the_precision_that_all_have(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"gpu:0": "float16", "gpu:1": "", "gpu:2": "float16"}
    monkeypatch.setattr(engine_devices, "_half_precision", found.__getitem__)
    assert engine_devices.half_precision(("gpu:0", "gpu:2")) == "float16"
    assert engine_devices.half_precision(("gpu:0", "gpu:1")) == ""


def of_layers(convolution: str, head: str) -> Any:
    """A network with a policy for its first convolution and one for its end."""
    keras.utils.set_random_seed(8)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu", dtype=convolution)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", dtype=head, name="last")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=head)(x)
    # Large logits close together: in bfloat16 these are multiples of 1/8.
    end = keras.layers.Dense(CLASSES, bias_initializer=keras.initializers.Constant(20.0), dtype=head)
    return keras.Model(inputs, end(x))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_one_layer_of_another_precision_leaves_the_others_in_float32(policy: str, precision: Any) -> None:
    model, images = of_layers(policy, "float32"), random_images(3)
    answers = np.asarray(model(scale(images.astype(np.float32))))
    found = streamcam.Explainer(model, preprocess=scale, precision=precision, target=1).explain(images)
    assert found.precision == "float32"
    np.testing.assert_allclose(found.scores, answers[:, 1], rtol=1e-5)
    last = keras.Model(model.input, model.get_layer("last").output)(scale(images.astype(np.float32)))
    weights = model.layers[-1].get_weights()[0][:, 1]
    expected = np.maximum(np.asarray(last) @ weights, 0) / (last.shape[1] * last.shape[2])
    np.testing.assert_allclose(found.maps, expected, atol=2e-3 * expected.max())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "scorecam", "occlusion", "smoothgrad"])
def test_the_reported_precision_is_the_models_own_with_every_method(method: str) -> None:
    images = random_images(1)
    params = {"patch": 16} if method == "occlusion" else {}
    explainer = streamcam.Explainer(mixed_precision(), method, params=params, preprocess=scale)
    found = explainer.explain(images)
    assert found.precision == "bfloat16"
    assert "precision bfloat16: the model's own, and its layers keep theirs" in found.notes


@pytest.mark.slow
def test_a_head_in_float32_behind_layers_in_bfloat16_is_computed_in_float32() -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((HEIGHT, WIDTH, 3))
        x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(inputs)
        x = keras.layers.Conv2D(8, 3, activation="relu")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        bias = keras.initializers.Constant(20.0)
        model = keras.Model(inputs, keras.layers.Dense(CLASSES, dtype="float32", bias_initializer=bias)(x))
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    images = random_images(3)
    answers = np.asarray(model(scale(images.astype(np.float32))))
    found = streamcam.Explainer(model, preprocess=scale, precision="float32", target=1).explain(images)
    assert found.precision == "bfloat16"
    np.testing.assert_allclose(found.scores, answers[:, 1], atol=2e-3)  # of bfloat16 20 is a multiple of 1/8
