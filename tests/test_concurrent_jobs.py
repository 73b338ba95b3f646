"""Several jobs at once: how many, in which order, and what one of them does to the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam import api
from streamcam.concurrency.capacity import SHORT_FRAMES, VIDEO_CORES, Capacity, Demand
from streamcam.concurrency.memory import available_memory_bytes
from streamcam.concurrent_jobs import ConcurrentJobs, JobResult
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import OptionError, StreamcamError
from streamcam.frames import ExplainedFrame, SourceInfo
from streamcam.job import Job
from streamcam.options import SinkOptions
from streamcam.pipeline import RunCallbacks
from streamcam.sinks import encoder_count
from streamcam.sinks.encoder_demand import encoder_demand

from .media_helpers import frame_times, gradient_frame, write_clip

MODEL: dict[str, Any] = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "precision": "float32"}
HANG_SECONDS = 120
TWO, MANY = Capacity(2, 8 << 30), Capacity(32, 8 << 30)
VIDEO = SourceInfo("v.mp4", 1920, 1080, "yuv420p", Fraction(1, 25), num_frames=500)


@pytest.fixture(scope="module")
def explainer() -> FrameExplainer:
    job = Job.from_options("a.mp4", "b.mp4", **MODEL)
    return load_explainer(job.model, job.explain)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of two sizes, each with its own length."""
    folder = tmp_path_factory.mktemp("inputs")
    sizes = [(160, 96, 40), (96, 64, 24), (160, 96, 30), (96, 64, 16)]
    return [
        write_clip(folder / f"{number}.mp4", [gradient_frame(width, height, 3 * i) for i in range(count)])
        for number, (width, height, count) in enumerate(sizes)
    ]


def make_jobs(inputs: list[Path], folder: Path, **options: Any) -> list[Job]:
    folder.mkdir(exist_ok=True)
    suffix = {".png": ".png"}
    return [
        Job.from_options(path, folder / f"{path.stem}{suffix.get(path.suffix, '.mp4')}", **MODEL, **options)
        for path in inputs
    ]


def meet_at(barrier: threading.Barrier) -> RunCallbacks:
    """Callbacks of a job that goes on once as many jobs have a frame: fewer at once would break the barrier."""
    is_first = iter([True])

    def on_frame(item: ExplainedFrame) -> None:
        if next(is_first, False):
            barrier.wait(HANG_SECONDS)

    return RunCallbacks(on_frame=on_frame)


def summaries(results: list[JobResult]) -> dict[int, Any]:
    assert [one.error for one in results] == [None] * len(results)
    return {one.index: one.summary for one in results}


def test_inputs_at_once_write_what_they_write_one_by_one(
    inputs: list[Path], tmp_path: Path, explainer: FrameExplainer
) -> None:
    barrier = threading.Barrier(len(inputs))
    at_once = ConcurrentJobs(
        make_jobs(inputs, tmp_path / "once"), explainer, capacity=MANY, callbacks=lambda index: meet_at(barrier)
    )
    found = summaries(list(at_once))
    assert not at_once.interrupted
    explainer.drop_executables()  # as in a process of its own
    alone = list(ConcurrentJobs(make_jobs(inputs, tmp_path / "alone"), explainer, capacity=MANY, one_at_a_time=True))
    assert [one.index for one in alone] == [0, 1, 2, 3]
    for index, summary in summaries(alone).items():
        assert found[index].frames_out == summary.frames_out
        assert found[index].notes == summary.notes
        assert Path(found[index].output).read_bytes() == Path(summary.output).read_bytes()


def run_and_count(jobs: list[Job], explainer: FrameExplainer, capacity: Capacity, **options: Any) -> int:
    """Run the jobs; return the most that had begun and not ended."""
    begun, counts = [], [0]
    ended = []

    def begin(index: int) -> RunCallbacks:
        begun.append(index)
        counts.append(len(begun) - len(ended))
        return RunCallbacks()

    for result in ConcurrentJobs(jobs, explainer, capacity=capacity, callbacks=begin, **options):
        assert result.error is None
        ended.append(result.index)
    assert begun == list(range(len(jobs)))
    return max(counts)


def test_two_cores_take_one_video_after_another(inputs: list[Path], tmp_path: Path, explainer: FrameExplainer) -> None:
    assert run_and_count(make_jobs(inputs, tmp_path / "two"), explainer, TWO) == 1


def test_little_memory_takes_one_video_after_another(
    inputs: list[Path], tmp_path: Path, explainer: FrameExplainer
) -> None:
    assert run_and_count(make_jobs(inputs, tmp_path / "small"), explainer, replace(MANY, memory_bytes=1 << 20)) == 1


def test_two_cores_take_two_images_at_once(tmp_path: Path, explainer: FrameExplainer) -> None:
    images = [tmp_path / f"{name}.png" for name in "abcd"]
    for number, path in enumerate(images):
        Image.fromarray(np.full((48, 64, 3), 40 * number, np.uint8)).save(path)
    barrier = threading.Barrier(2)
    jobs = make_jobs(images, tmp_path / "images")
    found = list(ConcurrentJobs(jobs, explainer, capacity=TWO, callbacks=lambda index: meet_at(barrier)))
    assert sorted(summaries(found)) == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [path.name for path in images]


def test_a_broken_input_stops_none(inputs: list[Path], tmp_path: Path, explainer: FrameExplainer) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("this is no video")
    missing = tmp_path / "missing.mp4"
    jobs = make_jobs([broken, inputs[0], missing, inputs[1]], tmp_path / "out")
    barrier = threading.Barrier(2)
    found = {
        one.index: one
        for one in ConcurrentJobs(jobs, explainer, capacity=MANY, callbacks=lambda index: meet_at(barrier))
    }
    assert sorted(found) == [0, 1, 2, 3]
    for index, name in ((0, "broken.mp4"), (2, "missing.mp4")):
        assert isinstance(found[index].error, StreamcamError)
        assert name in str(found[index].error)
    assert [found[index].summary.frames_out for index in (1, 3)] == [40, 24]  # type: ignore[union-attr]


def test_stopped_jobs_are_playable(inputs: list[Path], tmp_path: Path, explainer: FrameExplainer) -> None:
    barrier = threading.Barrier(2)

    def begin(index: int) -> RunCallbacks:
        frames = iter(range(100))

        def on_frame(item: ExplainedFrame) -> None:
            if next(frames) == 4:  # both are in progress
                barrier.wait(HANG_SECONDS)
                running.stop()

        return RunCallbacks(on_frame=on_frame)

    eight = Capacity(2 * VIDEO_CORES, 8 << 30)
    jobs = make_jobs(inputs, tmp_path / "out")
    running = ConcurrentJobs(jobs, explainer, capacity=eight, callbacks=begin)
    found = summaries(list(running))
    assert running.interrupted
    assert sorted(found) == [0, 1]
    for summary in found.values():
        assert summary.interrupted
        assert 5 <= summary.frames_out == len(frame_times(Path(summary.output)))


def test_an_interrupt_in_the_loop_ends_the_jobs(
    inputs: list[Path], tmp_path: Path, explainer: FrameExplainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(api, "load_explainer", lambda *_, **__: explainer)
    monkeypatch.setattr(Capacity, "of_this_machine", lambda devices: MANY)
    before = set(threading.enumerate())

    def interrupted_loop() -> Iterator[Any]:
        for result in streamcam.process_all({path: out / path.name for path in inputs}, **MODEL):
            yield result
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(interrupted_loop())
    assert {one.name for one in set(threading.enumerate()) - before if one.name.startswith("streamcam")} == set()
    written = sorted(out.iterdir())
    assert written
    assert all(frame_times(path) for path in written)


def test_process_all_yields_a_result_for_each_input(
    inputs: list[Path], tmp_path: Path, explainer: FrameExplainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load_explainer", lambda *_, **__: explainer)
    files = {str(inputs[0]): tmp_path / "0.mp4", "nosuch.mp4": tmp_path / "1.mp4"}
    found = {one.input: one for one in streamcam.process_all(files, **MODEL)}
    good, bad = found[str(inputs[0])], found["nosuch.mp4"]
    assert good.error is None
    assert good.summary is not None
    assert good.summary.frames_out == len(frame_times(Path(good.output))) == 40
    assert bad.summary is None
    assert "nosuch.mp4" in str(bad.error)
    assert list(streamcam.process_all({}, **MODEL)) == []


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({"a.mp4": "o.mp4", "b.mp4": "o.mp4"}, {}),
        ({"a.mp4": "1.mp4", "b.mp4": "2.mp4"}, {"record": "records"}),
        ({"a.mp4": "1.mp4"}, {"alpha": 2.0}),
    ],
)
def test_process_all_refuses_options_at_once(files: dict[str, str], options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        streamcam.process_all(files, **MODEL, **options)


@pytest.mark.parametrize("files", [["a.mp4"], "a.mp4", None])
def test_process_all_says_what_it_takes(files: Any) -> None:
    kind = type(files).__name__
    with pytest.raises(OptionError, match=rf"files is of type {kind}; expected outputs by input, such as {{\"clip"):
        streamcam.process_all(files)


def test_several_records_stand_beside_their_outputs() -> None:
    for record in (True, False, "auto", None):
        streamcam.process_all({"a.mp4": "1.mp4", "b.mp4": "2.mp4"}, record=record).close()


@pytest.mark.parametrize(
    ("cores", "gpu", "at_once"),
    [(1, False, 1), (2, False, 1), (4, False, 1), (8, False, 2), (16, False, 4), (16, True, 5)],
)
def test_cores_decide_how_many_videos_run_at_once(cores: int, gpu: bool, at_once: int) -> None:
    assert at_most(Capacity(cores, 1 << 40, has_gpu=gpu), VIDEO) == at_once


def at_most(capacity: Capacity, info: SourceInfo) -> int:
    running: list[Demand] = []
    while capacity.has_room(running, capacity.demand(info)):
        running.append(capacity.demand(info))
    return len(running)


def test_frame_bytes_decide_how_many_videos_run_at_once() -> None:
    capacity = Capacity(64, 8 << 30)
    found = [at_most(capacity, replace(VIDEO, width=w, height=w * 9 // 16)) for w in (1280, 1920, 3840, 7680)]
    assert found[0] == 16  # limited by cores
    assert found == sorted(found, reverse=True)
    assert found[-1] == 1
    for width, count in zip((1920, 3840), found[1:3], strict=True):
        demand = capacity.demand(replace(VIDEO, width=width, height=width * 9 // 16))
        assert count * demand.memory_bytes <= capacity.memory_bytes


def test_several_encoders_fill_more_cores_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_count, "cpu_count", lambda: 16)
    monkeypatch.setattr(encoder_count, "available_memory_bytes", lambda: 1 << 36)
    sixteen = Capacity(16, 8 << 30)
    options = SinkOptions(path=tmp_path / "o.mp4")
    encoders, encoder_bytes = encoder_demand(options, VIDEO)
    assert encoders > 1
    assert encoder_bytes > 40 * VIDEO.frame_bytes
    demand = sixteen.demand(VIDEO, encoders=encoders, encoder_bytes=encoder_bytes)
    assert demand.cores == 16  # one video fills the machine
    assert demand.memory_bytes == sixteen.demand(VIDEO).memory_bytes + encoder_bytes
    assert encoder_demand(replace(options, encoders=1), VIDEO) == (1, 0)
    assert encoder_demand(replace(options, path=tmp_path / "o.png"), replace(VIDEO, is_image=True)) == (1, 0)


def test_short_clips_and_images_take_one_core() -> None:
    assert at_most(TWO, replace(VIDEO, num_frames=SHORT_FRAMES)) == 2
    assert at_most(TWO, replace(VIDEO, num_frames=None, is_image=True)) == 2
    assert at_most(TWO, replace(VIDEO, num_frames=None)) == 1
    assert at_most(MANY, replace(VIDEO, on_gpu=True)) == 1


def test_memory_is_that_of_the_machine_and_of_the_container(tmp_path: Path) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    (cgroup / "memory").mkdir(parents=True)
    meminfo.write_text("MemTotal:       8000 kB\nMemAvailable:   4000 kB\n")
    assert available_memory_bytes(meminfo, cgroup) == 4000 << 10
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("1000\n")
    assert available_memory_bytes(meminfo, cgroup) == 4000 << 10
    (cgroup / "memory.max").write_text("5000\n")
    assert available_memory_bytes(meminfo, cgroup) == 4000
    (cgroup / "memory.stat").write_text("anon 100\ninactive_file 600\nactive_file 7\n")
    assert available_memory_bytes(meminfo, cgroup) == 4600  # files that are cached can go
    (cgroup / "memory.max").unlink()
    (cgroup / "memory/memory.limit_in_bytes").write_text("2000\n")
    (cgroup / "memory/memory.usage_in_bytes").write_text("3000\n")
    assert available_memory_bytes(meminfo, cgroup) == 0
    assert available_memory_bytes(tmp_path / "none", tmp_path / "none") > 0
