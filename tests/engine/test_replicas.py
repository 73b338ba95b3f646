"""Several devices: the same results as one, in order, and none lost when one fails or is too small."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.concurrency.group import StageGroup, StageTimer
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.results import hold_between
from streamcam.engine.runtime.replica import DeviceReplica
from streamcam.errors import DeviceError, ModelError, OutOfMemoryError
from streamcam.frames import Frame, SourceInfo
from streamcam.job import Job
from streamcam.notes import collect_notes
from streamcam.options import ExplainOptions, ModelOptions
from streamcam.pipeline import RunCallbacks, run
from streamcam.stages import batched
from streamcam.tf import tf

from .executables import build_executable, random_images
from .models import HEIGHT, WIDTH, functional

BUILD = "tests.engine.models:functional"
INFO = SourceInfo("x", 64, 64, "yuv420p", Fraction(1, 25), num_frames=60)


@pytest.fixture
def three_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCAM_CPU_DEVICES", "3")


def explain_frames(model: Path, device: str, *, batch: int = 4) -> list[Any]:
    explainer = FrameExplainer(
        ModelOptions(model=str(model)), ExplainOptions(batch=batch, device=device, precision="float32")
    )
    prepared = explainer.prepare(INFO)
    pixels = np.random.default_rng(0).integers(0, 256, (60, HEIGHT, WIDTH, 3), np.uint8)
    frames = (Frame(n, n, None, model_input=one) for n, one in enumerate(pixels))  # type: ignore[arg-type]
    with StageGroup() as group:
        workers = explainer.workers(prepared.replicas, StageTimer())
        assert len(workers) == len(explainer.pool.devices)
        batches = batched(frames, batch, max_length=batch)
        return list(hold_between(group.map_ordered(batches, workers, depth=6, threads=prepared.concurrency)))


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
def test_results_are_those_of_one_device_in_the_same_order(tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    functional().save(model)
    one, all_of_them = explain_frames(model, "cpu:0"), explain_frames(model, "all")
    assert [item.frame.index for item in all_of_them] == list(range(60))
    for single, several in zip(one, all_of_them, strict=True):
        np.testing.assert_array_equal(single.attributions[0].heatmap, several.attributions[0].heatmap)
        assert (single.attributions[0].label, single.top) == (several.attributions[0].label, several.top)


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
def test_each_replica_runs_on_its_own_device() -> None:
    explainer = FrameExplainer(ModelOptions(model=BUILD), ExplainOptions(device="cpu:2,cpu:0", precision="float32"))
    prepared = explainer.prepare(INFO)
    assert prepared.device == "cpu:2,cpu:0"
    for replica, number in zip(prepared.replicas, (2, 0), strict=True):
        found = {op.device for op in replica.executable.first.graph.get_operations()}  # type: ignore[attr-defined]
        assert found == {f"/job:localhost/replica:0/task:0/device:CPU:{number}"}


@pytest.mark.parametrize("text", ["0", "many", "-1", "65"])
def test_a_number_of_devices_that_cannot_be(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STREAMCAM_CPU_DEVICES", text)
    with pytest.raises(DeviceError, match="1 to 64"):
        FrameExplainer(ModelOptions(model=BUILD), ExplainOptions())


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
def test_a_device_that_fails_loses_no_frame(clip: Path, tmp_path: Path) -> None:
    """The pipeline end to end; one of three devices fails with its second batch."""
    job = Job.from_options(
        str(clip), str(tmp_path / "o.mp4"), model=BUILD, device="all", batch=2, precision="float32", overwrite=True
    )
    explainer = FrameExplainer(job.model, job.explain)
    whole = [maps_of(job, explainer)]
    healthy = DeviceReplica.__call__
    runs: list[str] = []

    def failing(self: DeviceReplica, *given: Any) -> Any:
        runs.append(self.device)
        if self.device == "cpu:1" and runs.count("cpu:1") == 2:
            raise DeviceError("cpu:1 fell off the bus")
        return healthy(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceReplica, "__call__", failing)
        whole.append(maps_of(job, explainer))
    (first, _), (second, summary) = whole
    assert summary.frames_out == summary.frames_explained == len(first) == 50
    np.testing.assert_array_equal(first, second)
    assert 2 <= runs.count("cpu:1") <= 3  # another batch may have been under way
    notes = [note for note in summary.notes if note.startswith("cpu:1 failed and is disabled: ")]
    assert len(notes) == 1
    assert "fell off the bus" in notes[0]
    assert summary.device == "cpu:0,cpu:2"
    # It is not used for the next source either.
    again, summary = maps_of(job, explainer)
    np.testing.assert_array_equal(first, again)
    assert summary.device == "cpu:0,cpu:2"


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
@pytest.mark.parametrize("error", [DeviceError("gone"), ModelError("gone")])
def test_a_device_that_does_not_start_is_left_out(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = DeviceReplica.warm_up

    def failing(self: DeviceReplica) -> None:
        if self.device != "cpu:1":
            raise error
        healthy(self)

    monkeypatch.setattr(DeviceReplica, "warm_up", failing)
    explainer = FrameExplainer(ModelOptions(model=BUILD), ExplainOptions(device="all", precision="float32"))
    notes: list[str] = []
    with collect_notes(notes.append):
        prepared = explainer.prepare(INFO)
    assert prepared.device == "cpu:1"
    assert notes == ["cpu:0 failed and is disabled: gone", "cpu:2 failed and is disabled: gone"]


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
def test_where_no_device_starts_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: DeviceReplica) -> None:
        raise DeviceError(f"{self.device} is gone")

    monkeypatch.setattr(DeviceReplica, "warm_up", failing)
    explainer = FrameExplainer(ModelOptions(model=BUILD), ExplainOptions(device="all", precision="float32"))
    with pytest.raises(DeviceError, match="cpu:2 is gone"):
        explainer.prepare(INFO)


@pytest.mark.slow
@pytest.mark.usefixtures("three_devices")
def test_images_from_python_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica waits until another one is at work, too."""
    model, images = functional(), list(random_images(12))
    expected = streamcam.Explainer(model, batch=2, precision="float32").explain(images)
    together = threading.Barrier(3, timeout=30)
    met: set[str] = set()
    healthy = DeviceReplica.__call__

    def meeting(self: DeviceReplica, *given: Any) -> Any:
        if self.device not in met:
            met.add(self.device)
            together.wait()
        return healthy(self, *given)

    monkeypatch.setattr(DeviceReplica, "__call__", meeting)
    found = streamcam.Explainer(model, batch=2, precision="float32", device="all").explain(images)
    assert met == {"cpu:0", "cpu:1", "cpu:2"}
    np.testing.assert_array_equal(found.maps, expected.maps)
    assert found.targets == expected.targets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (RuntimeError("the GPU is gone"), DeviceError, "cpu failed: the GPU is gone"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), OutOfMemoryError, "memory for a batch of 4"),
        (tf.errors.InternalError(None, None, "bad luck"), ModelError, "the model failed: bad luck"),
    ],
)
def test_errors_of_tensorflow_are_translated(raised: Exception, expected: type[Exception], message: str) -> None:
    executable = build_executable(functional())

    def raise_error(*given: Any) -> Any:
        raise raised

    executable.first.loaded._call = raise_error  # type: ignore[attr-defined]
    with pytest.raises(expected, match=message):
        executable(random_images(1))


@pytest.mark.slow
def test_what_fails_on_the_only_device_is_said_as_it_is(clip: Path, tmp_path: Path) -> None:
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), model=BUILD, batch=2, precision="float32")
    explainer = FrameExplainer(job.model, job.explain)
    messages: list[str] = []

    def failing(self: DeviceReplica, *given: Any) -> Any:
        raise ModelError("the model failed: overflow")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ModelError, match=r"^the model failed: overflow$"):
        explainer.prepare(INFO)
        patch.setattr(DeviceReplica, "__call__", failing)
        with collect_notes(messages.append):
            run(job, explainer=explainer)
    assert messages
    assert not [line for line in messages if "disabled" in line]


def maps_of(job: Any, explainer: FrameExplainer) -> tuple[Any, streamcam.Summary]:
    maps: list[Any] = []
    summary = run(
        job,
        explainer=explainer,
        callbacks=RunCallbacks(on_frame=lambda item: maps.append(item.attributions[0].heatmap)),
    )
    return np.stack(maps), summary


def limit_batch(limit: int, executable: Any) -> Any:
    """An executable whose device has memory for ``limit`` images."""

    def first(codes: Any, images: Any) -> Any:
        if len(images) > limit:
            raise OutOfMemoryError("too many at once")
        return executable.first(codes, images)

    return replace(executable, first=first)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "expected"), [(4, 4), (3, 2), (1, 1)])
def test_out_of_memory_halves_the_batch_with_a_note(limit: int, expected: int) -> None:
    model, images = functional(), random_images(8)
    whole = build_executable(model, batch=8)
    replica = DeviceReplica(
        limit_batch(limit, whole), lambda kernel, batch: limit_batch(limit, build_executable(model, batch=batch))
    )
    messages: list[str] = []
    with collect_notes(messages.append):
        result = replica(images)
    np.testing.assert_allclose(result.maps, whole(images).maps, atol=1e-6)
    assert result.classes.tolist() == whole(images).classes.tolist()
    assert replica.executable.batch == expected
    assert [line.partition(": ")[2] for line in messages] == [f"{n} from now on" for n in (4, 2, 1) if n >= expected]
    with collect_notes(messages.append):
        replica(images)
    assert len(messages) == {4: 1, 2: 2, 1: 3}[expected]


def test_no_memory_for_a_single_image_is_an_error() -> None:
    replica = DeviceReplica(
        limit_batch(0, build_executable(functional(), batch=2)),
        lambda kernel, batch: limit_batch(0, build_executable(functional(), batch=batch)),
    )
    with pytest.raises(OutOfMemoryError, match="single frame"):
        replica(random_images(2))


@pytest.mark.slow
def test_two_threads_halve_it_once() -> None:
    model = functional()
    made: list[int] = []

    def smaller(executable: Any, batch: int) -> Any:
        made.append(batch)
        return build_executable(model, batch=batch)

    replica = DeviceReplica(limit_batch(2, build_executable(model, batch=4)), smaller)
    both = threading.Barrier(2, timeout=20)
    results: list[Any] = []

    def work() -> None:
        both.wait()
        results.append(replica(random_images(4)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == [2]
    assert len(results) == 2
