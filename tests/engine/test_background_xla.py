"""XLA in the background: when it starts, how it is swapped in, and what its failure leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.concurrency.group import StageGroup, StageTimer
from streamcam.engine.compiled_method import Executable
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.results import hold_between
from streamcam.engine.runtime import background_xla
from streamcam.engine.runtime.background_xla import THREAD_NAME, BackgroundXla, XlaFinding
from streamcam.engine.runtime.compile_cache import CompileCache
from streamcam.engine.runtime.replica import DeviceReplica
from streamcam.engine.runtime.target_graph import TargetGraph
from streamcam.errors import ModelError
from streamcam.frames import Frame, SourceInfo
from streamcam.notes import collect_notes
from streamcam.options import ExplainOptions, ModelOptions
from streamcam.stages import batched
from streamcam.tf import tf

from ..waiting import wait_until
from .executables import build_executable, random_images
from .models import HEIGHT, WIDTH, functional

BATCH = 4
NO_TIME = XlaFinding(speedup=1.5, cosine=1.0, compile_seconds=0.0)


@pytest.fixture(scope="module")
def plain() -> Executable:
    return build_executable(functional())


@pytest.fixture(scope="module")
def compiled(plain: Executable) -> Executable:
    """The same method as a function that XLA has compiled for the CPU."""
    graph = plain.first.graph  # type: ignore[attr-defined]
    frozen = plain.method.first  # type: ignore[attr-defined]

    def body(*inputs: Any) -> Any:
        feed = dict(zip(frozen.inputs, inputs, strict=True))
        feed |= {f"{name}:0": tf.constant(value) for name, value in frozen.weights.items()}
        inside = tf.compat.v1.GraphDef()
        inside.node.extend(node for node in frozen.graph_def.node if f"{node.name}:0" not in feed)
        return tf.graph_util.import_graph_def(inside, input_map=feed, return_elements=list(frozen.outputs))

    specifications = [
        tf.TensorSpec(graph.get_tensor_by_name(name).shape, graph.get_tensor_by_name(name).dtype)
        for name in frozen.inputs
    ]
    function = tf.function(body, jit_compile=True).get_concrete_function(*specifications)

    def first(codes: Any, images: Any) -> Any:
        outputs = [output.numpy() for output in function(tf.constant(images), tf.constant(codes[:, 0]))]
        return outputs[:2], [outputs[2:]]

    return replace(plain, first=first)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    wait_until(lambda: not compiling(), seconds=120)


def compiling() -> bool:
    return any(thread.name == THREAD_NAME for thread in threading.enumerate())


def in_time(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Replace the measured times of plain and compiled graph: the clocks of a busy machine decide nothing here."""
    monkeypatch.setattr(background_xla, "seconds_in_turns", lambda *executables: seconds)


def no_rebuild(executable: Executable, batch: int) -> Executable:
    raise AssertionError("nothing is rebuilt")


# When it starts


@pytest.mark.parametrize(
    ("frames_left", "is_repaid"),
    # 10 s of compiling are 1,000 frames of 10 ms; the 2,000 after that gain 5 ms each.
    [(0, False), (1_000, False), (2_900, False), (3_100, True), (10**9, True)],
)
def test_it_is_repaid_by_the_frames_after_the_compilation(frames_left: int, is_repaid: bool) -> None:
    finding = XlaFinding(speedup=2.0, cosine=1.0, compile_seconds=10.0)
    assert finding.is_repaid(frames_left, 0.01) is is_repaid


def test_what_is_no_faster_or_differs_is_not_used() -> None:
    assert XlaFinding(1.06, 0.9991, 5).is_useful("float32")
    assert not XlaFinding(1.04, 1.0, 5).is_useful("float32")
    assert not XlaFinding(2.0, 0.998, 5).is_useful("float32")
    assert XlaFinding(2.0, 0.998, 5).is_useful("float16")
    assert not XlaFinding(2.0, float("nan"), 5).is_useful("float16")


def counting_xla(plain: Executable, compiled: Executable, finding: XlaFinding | None, **more: Any) -> Any:
    """A replica, what compiles for it, and the executables that were asked for."""
    replica, asked = DeviceReplica(plain, no_rebuild), []

    def load(executable: Executable) -> Executable:
        asked.append(executable)
        return compiled

    return replica, BackgroundXla([replica], load, finding=finding, **more), asked


def test_few_frames_start_nothing(plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch) -> None:
    in_time(monkeypatch, 1.0, 0.5)
    replica, xla, asked = counting_xla(plain, compiled, None, num_operations=300)
    xla.expect(40)
    for _ in range(10):
        replica(random_images(BATCH))
    assert not asked
    assert not compiling()
    assert replica.executable is plain


def test_a_source_of_unknown_length_starts_it_after_a_while(
    plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 1.0, 0.5)
    finding = XlaFinding(speedup=2.0, cosine=1.0, compile_seconds=10.0)
    replica, xla, asked = counting_xla(plain, compiled, finding)
    now = [0.0]
    monkeypatch.setattr(background_xla, "monotonic", lambda: now[0])
    xla.expect(None)
    busy = 0
    while not asked and busy < 100:
        with xla.watch(BATCH):
            now[0] += 1.0
        busy += 1
        wait_until(lambda: not compiling(), seconds=120)
    # As many frames again as were explained are expected: (busy - 10) x 1/2 > 10.
    assert busy == 31
    assert replica.executable is compiled


def test_two_batches_at_once_count_their_time_once(plain: Executable, compiled: Executable) -> None:
    _, xla, _ = counting_xla(plain, compiled, XlaFinding(2.0, 1.0, 1e9))
    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background_xla, "monotonic", lambda: now[0])
        first, second = xla.watch(BATCH), xla.watch(BATCH)
        first.__enter__()
        now[0] = 1.0
        second.__enter__()
        now[0] = 2.0
        first.__exit__(None, None, None)
        now[0] = 3.0
        second.__exit__(None, None, None)
        now[0] = 10.0
    assert xla._busy_seconds == 3.0


# The swap


def test_it_is_swapped_in_between_batches_and_changes_no_result(
    plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas of two threads each; the swap waits until the middle of the run."""
    in_time(monkeypatch, 1.0, 0.5)
    half_done, used = threading.Event(), []
    replicas = [DeviceReplica(replace(plain, device=f"cpu:{n}"), no_rebuild) for n in range(2)]

    def watched(executable: Executable, name: str) -> Executable:
        def first(*inputs: Any) -> Any:
            used.append(name)
            return executable.first(*inputs)

        return replace(executable, first=first)

    for replica in replicas:
        replica.executable = watched(replica.executable, "plain")

    def load(executable: Executable) -> Executable:
        assert half_done.wait(60)
        return watched(replace(compiled, device=executable.device), "compiled")

    xla = BackgroundXla(replicas, load, finding=NO_TIME)
    explainer = FrameExplainer(ModelOptions(model="tests.engine.models:functional"), ExplainOptions(device="cpu"))
    pixels = random_images(160)
    frames = (Frame(n, n, None, model_input=one) for n, one in enumerate(pixels))  # type: ignore[arg-type]
    xla.expect(len(pixels))
    items = []
    with StageGroup() as group:
        workers = explainer.workers(replicas, StageTimer())
        batches = batched(frames, BATCH, max_length=BATCH)
        for item in hold_between(group.map_ordered(batches, workers, depth=1, threads=2)):
            items.append(item)
            if len(items) == len(pixels) // 2:
                half_done.set()
                wait_until(lambda: xla.swapped, seconds=120)
    assert [item.frame.index for item in items] == list(range(len(pixels)))
    assert used[-1] == "compiled"
    assert used.index("compiled") >= 4
    expected = [plain(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    maps = np.concatenate([result.maps[:, 0] for result in expected])
    found = np.stack([item.attributions[0].heatmap for item in items])
    np.testing.assert_allclose(found, maps, atol=1e-5 * np.abs(maps).max())
    assert {replica.executable.precision for replica in replicas} == {plain.precision}
    assert [replica.executable.device for replica in replicas] == ["cpu:0", "cpu:1"]


def test_a_smaller_batch_made_meanwhile_stays(
    plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 1.0, 0.5)
    smaller = replace(plain)
    replica, xla, _ = counting_xla(plain, compiled, NO_TIME)
    xla._load = lambda executable: setattr(replica, "executable", smaller) or compiled
    xla.compile_now()
    assert replica.executable is smaller


def test_what_was_measured_is_kept_and_used(
    plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 1.0, 0.99)
    stored: list[XlaFinding] = []
    replica, xla, _ = counting_xla(plain, compiled, None, store=stored.append)
    notes: list[str] = []
    with collect_notes(notes.append):
        assert not xla.compile_now()
    assert replica.executable is plain
    assert "XLA is not used: 1.01 times as fast" in notes[0]
    assert stored[0].cosine == pytest.approx(1, abs=1e-5)
    again, xla, asked = counting_xla(plain, compiled, stored[0])
    xla.expect(10**9)
    for _ in range(6):
        again(random_images(BATCH))
    assert not asked
    assert not compiling()


def test_a_benchmark_can_have_it_in_any_case(
    plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 1.0, 2.0)
    replica, xla, _ = counting_xla(plain, compiled, None)
    assert xla.compile_now(always=True)
    assert replica.executable is compiled


def test_several_targets_run_in_parts_that_xla_does_not_compile() -> None:
    executable = build_executable(functional(), target=["1", "2"])
    frozen = executable.method.first  # type: ignore[attr-defined]
    targets: Any = {"num_shared": 2, "num_functions": 0, "by_code": True}
    jit_levels = []
    session = tf.compat.v1.Session

    def spy(*, graph: Any, config: Any) -> Any:
        jit_levels.append(config.graph_options.optimizer_options.global_jit_level)
        return session(graph=graph, config=config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.compat.v1, "Session", spy)
        graph = TargetGraph(frozen, "cpu", "float32", **targets, xla=True)
        codes = np.broadcast_to(np.array([(1, -1), (2, -1)], np.int32), (BATCH, 2, 2))
        _, found = graph(codes, random_images(BATCH))
    assert jit_levels == [tf.compat.v1.OptimizerOptions.ON_2, tf.compat.v1.OptimizerOptions.DEFAULT]
    _, expected = executable.first(codes, random_images(BATCH))
    np.testing.assert_array_equal(found[1][-1], expected[1][-1])


# Failures


@pytest.mark.parametrize(
    "error",
    [
        ModelError("the model failed: No registered 'Foo' OpKernel for XLA_GPU_JIT devices"),
        RuntimeError("ptxas exited with non-zero error code 2"),
        MemoryError("none left"),
    ],
)
def test_a_failed_compilation_leaves_the_plain_graph_and_a_note(
    plain: Executable, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, notes = DeviceReplica(plain, no_rebuild), []

    def load(executable: Executable) -> Executable:
        raise error

    xla = BackgroundXla([replica], load, finding=NO_TIME)
    xla.expect(10**6)
    with collect_notes(notes.append):
        for _ in range(8):
            replica(random_images(BATCH))
        wait_until(lambda: notes, seconds=60)
    assert len(notes) == 1
    assert notes[0].startswith("XLA is not used: ")
    assert str(error).split(": ")[-1] in notes[0]
    assert replica.executable is plain
    assert not xla.swapped


def test_one_compilation_at_a_time(plain: Executable, compiled: Executable, monkeypatch: pytest.MonkeyPatch) -> None:
    in_time(monkeypatch, 1.0, 0.5)
    go, asked = threading.Event(), []

    def load(executable: Executable) -> Executable:
        asked.append(executable)
        assert go.wait(60)
        return compiled

    pairs = []
    for _ in range(2):
        replica = DeviceReplica(plain, no_rebuild)
        pairs.append((replica, BackgroundXla([replica], load, finding=NO_TIME)))
        pairs[-1][1].expect(10**6)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            list(pool.map(lambda pair: pair[0](random_images(BATCH)), pairs))
    wait_until(lambda: asked, seconds=60)
    assert len(asked) == 1
    go.set()
    wait_until(lambda: not compiling(), seconds=120)
    for replica, xla in pairs:
        replica(random_images(BATCH))
        wait_until(lambda xla=xla: xla.swapped, seconds=120)  # type: ignore[misc]


# In the engine


def info(**more: Any) -> SourceInfo:
    return SourceInfo("x", WIDTH, HEIGHT, "yuv420p", Fraction(1, 25), **{"num_frames": 10**6, **more})


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have the CPU taken for a GPU; return how many frames were expected."""
    expected: list[Any] = []
    monkeypatch.setattr(background_xla, "has_xla", lambda device: True)
    monkeypatch.setattr(BackgroundXla, "expect", lambda self, num_frames: expected.append(num_frames))
    return expected


def make_explainer(**options: Any) -> FrameExplainer:
    chosen = ExplainOptions(**{"precision": "float32", "batch": 2, **options})
    return FrameExplainer(ModelOptions(model="tests.engine.models:functional"), chosen, CompileCache(None))


def test_only_videos_of_one_target_expect_frames(on_gpu: list[Any]) -> None:
    explainer = make_explainer()
    explainer.prepare(info())
    explainer.prepare(info(num_frames=None, live=True))
    explainer.prepare(info(), every=4)
    assert on_gpu == [10**6, None, 250_000]
    explainer.prepare(info(is_image=True))
    explainer.prepare(info(), one_compiler=True)
    make_explainer(target=("top", "1")).prepare(info())
    assert len(on_gpu) == 3
    streamcam.Explainer(functional(), preprocess=None, precision="float32").explain(random_images(1))
    assert len(on_gpu) == 3


def test_methods_of_many_passes_have_none(on_gpu: list[Any]) -> None:
    prepared = make_explainer(method="occlusion", params={"patch": 16, "stride": 16}).prepare(info())
    assert prepared.xla is None
    assert not on_gpu


def test_a_cpu_has_none() -> None:
    prepared = make_explainer().prepare(info())
    assert prepared.xla is None
    assert not prepared.compile_now()


def test_the_finding_is_read_again_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: list[Any]
) -> None:
    model = tmp_path / "model.keras"
    functional().save(model)
    in_time(monkeypatch, 1.0, 0.99)
    cache = CompileCache(tmp_path / "cache")
    options = ModelOptions(model=str(model)), ExplainOptions(precision="float32", batch=2)
    prepared = FrameExplainer(*options, cache).prepare(info())
    assert not prepared.compile_now()
    monkeypatch.setattr(background_xla.BackgroundXla, "_compile", lambda self: pytest.fail("it is known to be useless"))
    again = FrameExplainer(*options, cache).prepare(info())
    assert again.xla is not None
    assert json.dumps(again.xla._expected.speedup) == json.dumps(1.0 / 0.99)
    assert not again.compile_now()
