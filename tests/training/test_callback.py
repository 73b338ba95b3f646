"""The callback: equal to Explainer, on every kind of model and data, and it never ends a training."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.errors import LayerError, OptionError, StreamcamError, TargetError
from streamcam.map_statistics import area, box_coverage, evidence, region_share
from streamcam.methods import gradcam as gradcam_module
from streamcam.options import DrawOptions
from streamcam.tf import keras, tf
from streamcam.training import ExplainCallback
from streamcam.training.drawing import ImageGrid
from streamcam.training.folder_log import read_folder_log
from streamcam.training.loggers import MapRecord, RunInfo, RunLogger

from . import runs
from .runs import KeepingLogger


class RecordLogger(RunLogger):
    """Keeps the raw maps, and what `Explainer` gives for the same weights."""

    def __init__(self, expect: Callable[[], Any] | None = None) -> None:
        self.records: list[MapRecord] = []
        self.expected: list[Any] = []
        self._expect = expect

    def begin(self, run: RunInfo) -> None:
        self.run = run

    def log_maps(self, record: MapRecord) -> None:
        self.records.append(record)
        if self._expect is not None:
            self.expected.append(self._expect())


def fit(model: Any, callback: Any, epochs: int = 1, **options: Any) -> Any:
    x, y = runs.data()
    return model.fit(x, y, batch_size=10, epochs=epochs, callbacks=[callback], verbose=0, **options)


def test_maps_equal_those_of_an_explainer_before_and_after_an_epoch() -> None:
    model, (x, y) = runs.nested(), runs.data()

    def explain() -> Any:
        explainer = streamcam.Explainer(model, "hirescam", precision="float32")
        return explainer.explain(x[:4], targets=[str(one) for one in y[:4]])

    records = RecordLogger(explain)
    fit(model, ExplainCallback((x, y), methods="hirescam", max_images=4, loggers=[records]))
    before, after = records.records
    assert (before.step, after.step) == (0, 1)
    assert before.layer == "backbone/norm"
    assert not np.allclose(before.maps, after.maps, rtol=0.1)
    for record, expected in zip(records.records, records.expected, strict=True):
        np.testing.assert_allclose(record.maps, expected.maps, atol=1e-5 * np.abs(expected.maps).max())
        assert record.targets == expected.targets
        assert record.predicted == tuple(top[0][0] for top in expected.top)


@pytest.mark.parametrize("make_model", [runs.sequential, runs.subclassed], ids=["sequential", "subclassed"])
def test_images_and_numbers_of_every_epoch(make_model: Callable[[], Any]) -> None:
    x, y = runs.data()
    kept, records = KeepingLogger(), RecordLogger()
    callback = ExplainCallback(
        (x, y), loggers=[kept, records], regions={"corner": (0, 0, 0.25, 0.25)}, max_images=5, labels=["a", "b", "c"]
    )
    fit(make_model(), callback, epochs=2)
    assert (
        kept.steps("gradcam/share/corner") == kept.steps("gradcam/image/0") == kept.steps("gradcam/grid") == [0, 1, 2]
    )
    assert kept.steps("gradcam/drift") == [1, 2]
    assert records.run.expected == ("a", "b", "c", "a", "b")
    for record in records.records:
        weights = evidence(record.maps)
        shares = region_share(weights, box_coverage((0, 0, 0.25, 0.25), record.maps.shape[1:]))
        assert kept.scalars["gradcam/share/corner", record.step] == pytest.approx(np.nanmean(shares))
        assert kept.scalars["gradcam/area", record.step] == pytest.approx(np.nanmean(area(weights)))
        assert kept.images["gradcam/image/0", record.step].shape == (192 + 2 * 28, 192, 3)
    assert not callback.failures


def test_captions_fit_above_their_cells() -> None:
    grid = ImageGrid(np.zeros((3, 8, 8, 3), np.uint8), ["class 10", "sulphur-crested cockatoo", "a"], DrawOptions())
    captions = grid.captions(["class 11", "African grey", "a very long name indeed"], [1.0, 0.58, 1.0])
    assert captions == ["class 10 / class 11 100%", "sulphur-… / African g… 58%", "a / a very long name… 100%"]
    blank = grid.overlays(np.zeros((3, 2, 2), np.float32), 1.0, "positive")
    drawn, short = grid.grid(blank, captions, ""), grid.grid(blank, ["", "", ""], "")
    assert drawn.shape == short.shape
    top = slice(28, 28 + 3 + 25)  # below the header: the captions, and the gaps between the cells
    assert (drawn[top] != short[top]).any()
    np.testing.assert_array_equal(drawn[top, 195:198], short[top, 195:198])


def test_one_scale_that_only_grows() -> None:
    records = RecordLogger()
    x, y = runs.data()
    fit(runs.sequential(), ExplainCallback((x, y), methods=["gradcam"], loggers=[records], targets="top"), epochs=4)
    scales = [record.vmax for record in records.records]
    assert scales == sorted(scales)
    for number, record in enumerate(records.records):
        largest = max(one.maps.max() for one in records.records[: number + 1])
        assert largest <= record.vmax <= 2.5 * largest
        assert re.match(r"[125](\.0+)?e", f"{record.vmax:e}")


def test_every_kind_of_data_gives_the_same_images() -> None:
    x, y = runs.data()
    dataset = tf.data.Dataset.from_tensor_slices((x, y))

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return x[index * 10 : index * 10 + 10], keras.utils.to_categorical(y[index * 10 : index * 10 + 10], 3)

    kinds = [
        (x, y),
        [x, y[:, None]],
        (tf.constant(x), tf.constant(y), np.ones(len(y))),
        dataset.batch(7),
        dataset,
        dataset.batch(5).repeat(),
        Batches(),
        ((x[n : n + 3], y[n : n + 3]) for n in range(0, 40, 3)),
        ({"image": x}, y),
        (x, keras.utils.to_categorical(y, 3) * 0.9 + 0.1 / 3),  # smoothed
        (list(x), list(y)),
        [[x[:6], y[:6]], [x[6:], y[6:]]],
    ]
    for kind in kinds:
        callback = ExplainCallback(kind, loggers=[KeepingLogger()], max_images=12, image_input="image")
        batch = callback._explanations._batch
        np.testing.assert_array_equal(batch.inputs, x[:12])
        np.testing.assert_array_equal(batch.classes, y[:12])


@pytest.mark.parametrize(
    ("low", "high", "value_range"), [(0, 255, "auto"), (0, 1, "auto"), (-1, 1, "auto"), (-2.1, 2.4, (-2.1, 2.4))]
)
def test_images_to_draw_on_are_those_before_the_scaling(low: float, high: float, value_range: Any) -> None:
    x, y = runs.data()
    scaled = x / 255 * (high - low) + low
    callback = ExplainCallback((scaled, y), loggers=[KeepingLogger()], value_range=value_range)
    np.testing.assert_array_equal(callback._explanations._rgb_images, x[:16].astype(np.uint8))
    black = callback._explanations._batch.rgb_to_input(np.zeros((1, 2, 2, 3), np.float32))
    np.testing.assert_allclose(black, np.full((1, 2, 2, 3), low), atol=1e-6)


def test_the_training_itself_is_unchanged() -> None:
    weights = []
    for has_callback in (False, True):
        keras.utils.set_random_seed(1)
        model, (x, y) = runs.sequential(), runs.data()
        callbacks = [
            ExplainCallback(
                (x, y), methods=["smoothgrad"], params={"smoothgrad": {"steps": 2}}, loggers=[KeepingLogger()]
            )
        ]
        model.fit(x, y, epochs=1, batch_size=10, verbose=0, callbacks=callbacks if has_callback else [])
        weights.append(model.get_weights())
    for without, with_callback in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_callback)


def test_every_n_batches_counts_batches() -> None:
    x, y = runs.data()
    kept = KeepingLogger()
    fit(runs.sequential(), ExplainCallback((x, y), every=3, loggers=[kept], images="grid"), epochs=2)
    assert kept.steps("gradcam/area") == [0, 3, 6, 8]  # 4 batches an epoch; the last weights too
    assert not kept.steps("gradcam/image/00")


def test_mixed_precision_gives_float32_maps_and_several_targets() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, (x, y) = runs.sequential(), runs.data()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    records = RecordLogger()
    callback = ExplainCallback(
        (x, y),
        methods=["gradcam", "occlusion"],
        params={"occlusion": {"patch": 12}},
        targets=["label", "1 - 0"],
        loggers=[records],
        max_images=2,
    )
    fit(model, callback)
    keys = [record.key for record in records.records]
    assert keys == 2 * ["gradcam/label", "gradcam/1 - 0", "occlusion/label", "occlusion/1 - 0"]
    assert all(record.maps.dtype == np.float32 and np.isfinite(record.maps).all() for record in records.records)
    assert not callback.failures


@pytest.mark.slow
def test_two_logical_devices_of_a_strategy(tmp_path: Path) -> None:
    code = f"""
import numpy as np, streamcam
from streamcam.tf import keras, tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from streamcam.training import ExplainCallback
from tests.training import runs
from tests.training.test_callback import RecordLogger, fit
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = runs.sequential(eager=False)
x, y = runs.data()
records = RecordLogger()
callback = ExplainCallback((x, y), loggers=[records, "folder:{tmp_path}"], max_images=4)
fit(model, callback, epochs=2)
assert strategy.num_replicas_in_sync == 2 and not callback.failures, callback.failures
copy = runs.sequential()
copy.set_weights(model.get_weights())
expected = streamcam.Explainer(copy, precision="float32").explain(x[:4], targets=[str(c) for c in y[:4]]).maps
np.testing.assert_allclose(records.records[-1].maps, expected, atol=1e-5 * np.abs(expected).max())
print("equal")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert result.stdout.strip().endswith("equal"), result.stderr[-3000:]


@pytest.mark.slow
def test_a_training_goes_on_after_save_and_load(tmp_path: Path) -> None:
    model, (x, y) = runs.sequential(), runs.data()
    folder = f"folder:{tmp_path / 'log'}"
    callback = ExplainCallback((x, y), loggers=[folder], max_images=3)
    fit(model, callback)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded, callback, epochs=2, initial_epoch=1)  # the same object
    loaded.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    other = ExplainCallback((x, y), loggers=[folder], max_images=3)  # a new one
    fit(again, other, epochs=3, initial_epoch=2)
    log = read_folder_log(tmp_path / "log")
    assert [one.step for one in log.explanations] == [0, 1, 2, 3]
    assert list(log.epochs) == [1, 2, 3]
    scales = [one.vmax for one in log.explanations]
    assert scales == sorted(scales)
    expected = streamcam.Explainer(again, precision="float32").explain(x[:3], targets=[str(c) for c in y[:3]]).maps
    np.testing.assert_allclose(log.maps(log.explanations[-1]), expected, atol=2e-3 * np.abs(expected).max())
    with pytest.raises(OptionError, match="holds the log of another training"):
        fit(runs.sequential(), ExplainCallback((x, y), loggers=[folder], max_images=3))


def test_filters_follow_the_weights() -> None:
    kept, (x, y) = KeepingLogger(), runs.data()
    callback = ExplainCallback(
        (x, y), methods=["filters"], layer="last", params={"filters": {"filters": "0-3", "steps": 4}}, loggers=[kept]
    )
    model = runs.sequential()
    fit(model, callback, epochs=2)
    assert not callback.failures
    assert kept.steps("filters/grid") == kept.steps("filters/activation/3") == [0, 1, 2]
    assert (kept.images["filters/grid", 0] != kept.images["filters/grid", 2]).any()
    last = kept.images["filters/grid", 2]
    fit(model, callback)  # begins with equal weights
    np.testing.assert_array_equal(last, kept.images["filters/grid", 2])
    assert kept.steps("filters/grid") == [0, 1, 2, 3]


class FailingLogger:
    def log_image(self, key: str, image: Any, step: int) -> None:
        raise OSError(28, "No space left on device")


def test_errors_of_loggers_and_explanations_are_logged_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    x, y = runs.data()
    kept = KeepingLogger()
    callback = ExplainCallback(
        (x, y), methods=["gradcam"], loggers=[FailingLogger(), kept, f"folder:{tmp_path}"], images="grid", max_images=2
    )
    monkeypatch.setattr("streamcam.training.folder_log.Path.write_bytes", _full_disk(after=5))
    with caplog.at_level(logging.WARNING, "streamcam"), pytest.warns(UserWarning, match="the training goes on"):
        history = fit(runs.sequential(), callback, epochs=3)
    assert len(history.history["loss"]) == 3
    assert kept.steps("gradcam/grid") == [0, 1, 2, 3]
    assert callback.failures["FailingLogger.log_image"] == 4
    assert callback.failures["FolderLogger.log_image"] >= 2
    assert caplog.text.count("FailingLogger.log_image failed") == 1
    assert "No space left on device" in caplog.text
    assert "failures in all" in caplog.text
    assert not list(tmp_path.rglob("*.part"))
    read_folder_log(tmp_path)


def _full_disk(after: int) -> Any:
    from pathlib import Path as RealPath

    write, count = RealPath.write_bytes, [0]

    def write_bytes(self: Path, content: bytes) -> int:
        count[0] += 1
        if count[0] > after:
            write(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(self, content)

    return write_bytes


def test_a_failing_method_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(context: Any) -> Any:
        feature_map = context.activations[..., 0]
        return tf.raw_ops.CheckNumerics(tensor=feature_map / 0.0, message="planted")

    x, y = runs.data()
    kept = KeepingLogger()
    callback = ExplainCallback((x, y), methods=[breaks, "gradcam"], loggers=kept, images="grid", max_images=2)
    with pytest.warns(UserWarning, match="the explanation by breaks failed"):
        fit(runs.sequential(), callback)
    assert callback.failures == {"the explanation by breaks": 2}
    assert kept.steps("gradcam/grid") == [0, 1]


def test_weights_that_are_not_finite_give_zero_maps(caplog: pytest.LogCaptureFixture) -> None:
    model, (x, y) = runs.sequential(), runs.data()
    model.layers[-1].bias.assign(np.full(3, np.nan))
    kept = KeepingLogger()
    with caplog.at_level(logging.WARNING, "streamcam"):
        fit(model, ExplainCallback((x, y), loggers=[kept], max_images=2))
    assert kept.steps("gradcam/grid") == [0, 1]
    assert not kept.steps("gradcam/area")
    assert caplog.text.count("not a number") == 1


X, Y = runs.data()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"data": (X[:0], Y[:0])}, OptionError, "no images"),
        ({"data": 7}, OptionError, "type int"),
        ({"data": (X[:, :, 0, 0], Y)}, OptionError, "shape"),
        ({"data": X}, OptionError, "no labels"),
        ({"data": (X, np.eye(3)[Y] + np.eye(3)[Y - 1])}, OptionError, "no one-hot rows, so no image has one"),
        ({"data": (X, np.stack([Y * 9.0, Y], axis=1))}, OptionError, "no one-hot rows"),
        ({"data": (X, Y + 0.5)}, OptionError, "no whole numbers"),
        ({"data": (X, np.where(Y, Y, np.nan))}, OptionError, "not finite"),
        ({"data": ({"image": X, "age": Y}, Y), "image_input": "image"}, OptionError, "extra_input={'age': VALUE}"),
        ({"methods": ["gradcan"]}, StreamcamError, "did you mean 'gradcam'"),
        ({"methods": []}, OptionError, "no methods"),
        ({"params": {"gradcam": {"steps": 3}}}, OptionError, "unknown parameter 'steps'"),
        ({"methods": ["filters"], "params": {"filters": {"step": 3}}}, OptionError, "did you mean 'steps'"),
        ({"params": {"smoothgrad": {}}}, OptionError, "no method of the callback"),
        ({"every": 0}, OptionError, "every=0"),
        ({"every": "epochs"}, OptionError, "every='epochs'"),
        ({"loggers": ["tensorbord:x"]}, OptionError, "did you mean 'tensorboard'"),
        ({"loggers": ["folder"]}, OptionError, "folder:DIR"),
        ({"loggers": [object()]}, OptionError, "log_image"),
        ({"loggers": []}, OptionError, "no loggers"),
        ({"regions": {"corner": (0, 0, 2, 1)}}, OptionError, "region 'corner'"),
        ({"regions": {"a/b": (0, 0, 1, 1)}}, OptionError, "name of a region"),
        ({"value_range": "0-255"}, OptionError, "value_range"),
        ({"max_images": 0}, OptionError, "max_images"),
        ({"scale": -1.0}, OptionError, "scale"),
        ({"scale": "1"}, OptionError, "scale='1'"),
        ({"value_range": (0, 0)}, OptionError, "value_range (0, 0)"),
        ({"loggers": [KeepingLogger]}, OptionError, "KeepingLogger is a class"),
        ({"methods": ["filter"]}, StreamcamError, "did you mean 'filters'"),
        ({"data": ([X[0], X[1, :12]], [0, 1])}, OptionError, "several shapes"),
        ({"alpha": 2.0}, OptionError, "alpha"),
    ],
)
def test_wrong_arguments_are_one_line_at_once(arguments: dict[str, Any], error: Any, text: str) -> None:
    options = {"loggers": [KeepingLogger()], **arguments}
    with pytest.raises(error) as raised:
        ExplainCallback(options.pop("data", (X, Y)), **options)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"layer": "lats"}, LayerError, "lats"),
        ({"targets": "7"}, TargetError, "7"),
        ({"labels": ["a"]}, OptionError, "1 class"),
        ({"data": (X, Y + 1)}, OptionError, "labels are from 1 to 3"),
        ({"data": (X[..., :1], Y)}, StreamcamError, "24x24"),
        ({"loggers": ["folder:/proc/nowhere/log"]}, StreamcamError, "cannot be written to"),
    ],
)
def test_wrong_arguments_for_the_model_end_before_the_first_batch(
    arguments: dict[str, Any], error: Any, text: str
) -> None:
    options = {"loggers": [KeepingLogger()], **arguments}
    model = runs.sequential()
    callback = ExplainCallback(options.pop("data", (X, Y)), **options)
    with pytest.raises(error) as raised:
        fit(model, callback)
    assert text in str(raised.value)
    assert int(model.optimizer.iterations) == 0


def test_importing_the_package_loads_no_tensorflow() -> None:
    modules = "streamcam.training, streamcam.training.loggers, streamcam.training.evolution"
    code = f"import sys, {modules}; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_each_method_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = [0]
    original = gradcam_module.gradcam

    def counted(context: Any) -> Any:
        count[0] += 1
        return original(context)

    monkeypatch.setattr(gradcam_module, "gradcam", counted)
    model, (x, y) = runs.sequential(), runs.data()
    callback = ExplainCallback((x, y), loggers=[KeepingLogger()], max_images=2)
    fit(model, callback, epochs=3)
    fit(model, callback)
    assert count[0] == 1


def test_labels_of_several_classes_need_a_target_of_their_own() -> None:
    rows = np.eye(3)[Y] + np.eye(3)[Y - 1]
    for target in ("top", 1):
        callback = ExplainCallback((X, rows), loggers=[KeepingLogger()], targets=target)
        assert callback._explanations._batch.classes is None


def test_a_dict_of_one_input_needs_no_name_and_others_get_the_given_constant() -> None:
    for inputs, options in [
        ({"image": X}, {}),
        ({"image": X, "age": Y}, {"image_input": "image", "extra_input": {"age": 1}}),
    ]:
        callback = ExplainCallback((inputs, Y), loggers=[KeepingLogger()], **options)
        np.testing.assert_array_equal(callback._explanations._batch.inputs, X[:16])


def test_every_takes_the_integers_of_numpy() -> None:
    every = ExplainCallback((X, Y), loggers=[KeepingLogger()], every=np.int64(2))._every
    assert type(every) is int
    assert every == 2
