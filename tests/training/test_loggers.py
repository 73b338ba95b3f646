"""Each logger by its real package: what was written is read back."""

from __future__ import annotations

import io
import json
import shutil
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from streamcam.errors import OptionError, StreamcamError, describe_error
from streamcam.training.folder_log import append_line, read_folder_log, to_half
from streamcam.training.loggers import LOGGERS, MapRecord, RunInfo, open_logger

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
RUN = RunInfo("net", ("gradcam",), ("cat", "dog"), IMAGES, ("cat", "dog"), "epoch")


def record(step: int, maps: Any, key: str = "gradcam") -> MapRecord:
    statistics = {"area": (0.5, float("nan"))}
    return MapRecord(
        key,
        "gradcam",
        "conv",
        "heat",
        step,
        float(step),
        maps,
        0.5,
        ("cat",) * 2,
        ("dog",) * 2,
        (0.75,) * 2,
        statistics,
    )


def log_two_steps(logger: Any) -> None:
    logger.begin(RUN)
    for step in (0, 3):
        logger.log_image("gradcam/image/0", IMAGE, step)
        logger.log_scalar("gradcam/area", 0.25 + step, step)
        logger.log_maps(record(step, np.full((2, 4, 4), step + 0.5, np.float32)))
        logger.flush()
    logger.log_epoch(3, 3, {"loss": 0.5})
    logger.end()


def test_tensorboard_events_hold_tags_steps_and_images(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    log_two_steps(open_logger(f"tensorboard:{tmp_path}"))
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    assert sorted(events.Tags()["tensors"]) == ["gradcam/area", "gradcam/image/0"]
    images, numbers = events.Tensors("gradcam/image/0"), events.Tensors("gradcam/area")
    assert [event.step for event in images] == [event.step for event in numbers] == [0, 3]
    assert [float(make_ndarray(event.tensor_proto)) for event in numbers] == [0.25, 3.25]
    for event in images:
        width, height, png = make_ndarray(event.tensor_proto)
        assert (int(width), int(height)) == (30, 20)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), IMAGE)


def test_a_folder_is_read_back(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path / 'a' / 'log'}")
    log_two_steps(logger)
    folder = tmp_path / "a" / "log"
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "images/gradcam/image/0/00000003.png")), IMAGE)
    log = read_folder_log(folder)
    assert log.keys == ("gradcam",)
    assert [one.step for one in log.explanations] == [0, 3]
    np.testing.assert_array_equal(log.maps(log.explanations[1]), np.full((2, 4, 4), 3.5))
    np.testing.assert_array_equal(log.images(), IMAGES)
    assert log.epochs == {3: {"loss": 0.5}}
    assert log.run["expected"] == ["cat", "dog"]
    assert log.explanations[0].statistics["area"] == [0.5, None]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {"event": "scalar", "key": "gradcam/area", "step": 3, "value": 3.25} in lines
    assert np.load(folder / log.explanations[0].file).dtype == np.float16
    assert logger.progress().epochs == 3


def test_a_folder_takes_no_other_images(tmp_path: Path) -> None:
    log_two_steps(open_logger(f"folder:{tmp_path}"))
    other = RunInfo("net", ("gradcam",), ("cat", "dog"), IMAGES[::-1].copy(), (), "epoch")
    with pytest.raises(StreamcamError, match="other validation images"):
        open_logger(f"folder:{tmp_path}").begin(other)


def test_keys_never_leave_the_folder(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path / 'log'}")
    logger.begin(RUN)
    logger.log_image("../../gradcam++/a:b\\c", IMAGE, 1)
    logger.log_maps(record(1, np.ones((2, 4, 4), np.float32), "../x"))
    assert all((tmp_path / "log") in path.parents for path in tmp_path.rglob("*") if path.is_file())
    assert len(list((tmp_path / "log").rglob("*.png"))) == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_half_precision_keeps_maps_of_every_size(scale: float) -> None:
    maps = (np.random.default_rng(0).normal(size=(2, 5, 5)) * scale).astype(np.float32)
    half, factor = to_half(maps)
    np.testing.assert_allclose(half.astype(np.float64) * factor, maps, atol=1e-3 * np.abs(maps).max())


def test_a_line_that_was_cut_off_is_ignored(tmp_path: Path) -> None:
    log_two_steps(open_logger(f"folder:{tmp_path}"))
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event": "maps", "key"')
    assert len(read_folder_log(tmp_path).explanations) == 2
    append_line(path, {"event": "epoch", "epoch": 4, "logs": {"loss": 0.1}})
    assert 4 in read_folder_log(tmp_path).epochs


def test_mlflow_on_a_file_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("training")
    with mlflow.start_run() as run:
        log_two_steps(open_logger("mlflow"))
    client = mlflow.MlflowClient()
    history = client.get_metric_history(run.info.run_id, "gradcam/area")
    assert [(one.step, one.value) for one in history] == [(0, 0.25), (3, 3.25)]
    images = list(tmp_path.rglob("images/*.png"))
    assert len(images) == 2
    np.testing.assert_array_equal(np.asarray(Image.open(images[0])), IMAGE)
    open_logger("mlflow").begin(RUN)  # without a run, one is started
    assert mlflow.active_run() is not None
    mlflow.end_run()


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB, the format of W&B's offline files, behind a header of 7 bytes."""
    at, block, parts = 7, 32768, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    log_two_steps(open_logger("wandb"))
    assert wandb.run is None
    images = list(tmp_path.rglob("media/images/**/*.png"))
    assert len(images) == 2
    np.testing.assert_array_equal(np.asarray(Image.open(images[0])), IMAGE)
    from wandb.proto import wandb_internal_pb2

    rows = []
    for data in leveldb_records(next(tmp_path.rglob("*.wandb")).read_bytes()):
        message = wandb_internal_pb2.Record()
        message.ParseFromString(data)
        if message.WhichOneof("record_type") == "history":
            rows.append(
                {"/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in message.history.item}
            )
    assert [row["streamcam/step"] for row in rows] == [0, 3]
    assert [row["gradcam/area"] for row in rows] == [0.25, 3.25]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_logger_that_is_not_installed_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("streamcam.training.loggers.base.find_spec", lambda package: None)
    with pytest.raises(StreamcamError, match=r"pip install 'streamcam\[" + name):
        open_logger(f"{name}:folder" if name == "tensorboard" else name)


def test_every_logger_has_an_extra_or_needs_none() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(LOGGERS) - {"folder"} <= set(project["optional-dependencies"])


@pytest.mark.parametrize("text", ["folder:", "tensorboard", "mlflow:x", "wandb:x", "csv:x"])
def test_wrong_names_are_option_errors(text: str) -> None:
    with pytest.raises(OptionError):
        open_logger(text)


def test_every_key_has_files_of_its_own(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path}")
    logger.begin(RUN)
    keys = ["a:b", "a?b", "a_b", "a%3Ab", ".a", "..a", "日本", ""]
    for number, key in enumerate(keys):
        logger.log_maps(record(1, np.full((2, 4, 4), number, np.float32), f"gradcam/{key}"))
    log = read_folder_log(tmp_path)
    assert [log.maps(one)[0, 0, 0] for one in log.explanations] == list(range(len(keys)))


def test_a_resumed_log_drops_what_is_later(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path}")
    logger.begin(RUN)
    for step in range(4):
        logger.log_maps(record(step, np.full((2, 4, 4), step + 1, np.float32)))
        logger.log_epoch(step, step, {"loss": float(step)})
    logger.resume(1, 1)
    logger.log_maps(record(2, np.full((2, 4, 4), 9, np.float32)))
    log = read_folder_log(tmp_path)
    assert [(one.step, log.maps(one).max()) for one in log.explanations] == [(0, 1.0), (1, 2.0), (2, 9.0)]
    assert list(log.epochs) == [0, 1]
    assert logger.progress().last_step == 2


def test_a_value_that_is_not_finite_hides_no_other(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path}")
    logger.begin(RUN)
    logger.log_epoch(1, 1, {"loss": float("nan"), "accuracy": 0.5})
    assert read_folder_log(tmp_path).epochs == {1: {"accuracy": 0.5}}


def test_epochs_of_an_unknown_length_are_placed_by_their_ends(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path}")
    logger.begin(replace(RUN, every=1))
    for step in range(4):
        logger.log_maps(replace(record(step, np.ones((2, 4, 4), np.float32)), epoch=0.0))
    logger.log_epoch(1, 2, {})
    assert [one.epoch for one in read_folder_log(tmp_path).explanations] == [0.0, 0.5, 1.0, 0.0]
    with pytest.raises(StreamcamError, match="every=1, not 'epoch'"):
        open_logger(f"folder:{tmp_path}").begin(RUN)


class FakeMlflow(ModuleType):
    """The part of MLflow that starts and ends runs."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.runs: list[Any] = []
        self.ended: list[str] = []

    def active_run(self) -> Any:
        return self.runs[-1] if self.runs else None

    def start_run(self) -> Any:
        self.runs.append(SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.ended)))))
        return self.runs[-1]

    def end_run(self, status: str = "FINISHED") -> None:
        self.ended.append(f"{self.runs.pop().info.run_id} {status}")

    def flush_artifact_async_logging(self) -> None:
        pass


class FakeWandb(ModuleType):
    """The part of W&B that starts and ends runs."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.run: Any = None
        self.ended: list[str] = []

    def init(self) -> Any:
        def finish(exit_code: int = 0) -> None:
            self.ended.append(f"{self.run.id} {'FAILED' if exit_code else 'FINISHED'}")
            self.run = None

        self.run = SimpleNamespace(id=str(len(self.ended)), finish=finish, define_metric=lambda *_, **__: None)
        return self.run


@pytest.mark.parametrize("fake", [FakeMlflow, FakeWandb])
def test_a_run_of_a_fit_that_an_exception_ended_is_no_run_of_the_user(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("streamcam.training.loggers.base.find_spec", lambda package: package)
    logger = open_logger(module.__name__)
    logger.begin(RUN)
    logger.begin(RUN)  # no end: an exception came first
    assert module.ended == ["0 FAILED"]
    other = open_logger(module.__name__)
    assert module.ended == ["0 FAILED", "1 FAILED"]
    other.begin(RUN)
    other.end()
    assert module.ended[2:] == ["2 FINISHED"]
    module.init() if fake is FakeWandb else module.start_run()  # the user's
    other.begin(RUN)
    other.end()
    other.begin(RUN)
    open_logger(module.__name__)
    assert len(module.ended) == 3


def test_a_logger_may_change_its_image() -> None:
    class Changer:
        def log_image(self, key: str, image: Any, step: int) -> None:
            image[:] = 0

    image = IMAGE.copy()
    open_logger(Changer()).log_image("gradcam/grid", image, 0)
    np.testing.assert_array_equal(image, IMAGE)


def test_a_folder_that_was_deleted_is_an_error(tmp_path: Path) -> None:
    logger = open_logger(f"folder:{tmp_path / 'log'}")
    log_two_steps(logger)
    shutil.rmtree(tmp_path / "log")
    for call in (lambda: logger.log_image("a", IMAGE, 4), lambda: logger.log_scalar("a", 1.0, 4)):
        with pytest.raises(StreamcamError, match="was deleted during the training"):
            call()
    assert not (tmp_path / "log").exists()


def test_errors_of_tensorflow_have_no_name_of_a_node() -> None:
    error = ValueError("{{function_node __wrapped__WriteScalarSummary_device_/job:localhost}} Writer is closed")
    assert describe_error(error) == "ValueError: Writer is closed"
