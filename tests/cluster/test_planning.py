"""Slots, tasks and scales: no Ray, no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.cluster.address import check_address, connect
from streamcam.cluster.calls import Failure, call
from streamcam.cluster.nodes import find_slots
from streamcam.cluster.scale_pass import ScalePass
from streamcam.cluster.schedule import MAX_CRASHES, Schedule, Task
from streamcam.errors import ModelError, OptionError, StreamcamError
from streamcam.frames import MapKind
from streamcam.options import TemporalOptions

from .echo import EchoWorker


def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("auto", [("a", 0, 16.0, 0), ("b", 0, 4.0, 1), ("b", 1, 4.0, 1)]),
        ("cpu", [("a", 0, 16.0, 0), ("b", 0, 8.0, 0)]),
        ("gpu:0", [("b", 0, 4.0, 1), ("b", 1, 4.0, 1)]),
    ],
)
def test_a_slot_is_a_device(device: str, expected: list[Any]) -> None:
    nodes = [node("head", CPU=0), node("a", CPU=16), node("b", CPU=8, GPU=2), node("dead", alive=False, CPU=8)]
    slots = find_slots(nodes, device)
    assert [(one.node_id, one.number, one.num_cpus, one.num_gpus) for one in slots] == expected


def test_slots_do_not_need_more_cpus_than_a_node_has() -> None:
    slots = find_slots([node("a", CPU=2, GPU=8), node("b", CPU=0.5)], "auto")
    assert [(one.node_id, one.num_cpus) for one in slots] == [("a", 1.0), ("a", 1.0), ("b", 0.5)]
    assert [one.num_drawers for one in find_slots([node("a", CPU=16), node("b", CPU=2)], "cpu")] == [4, 1]


def test_first_chunks_come_first() -> None:
    schedule = Schedule([2, 0, 1], draws=True)
    tasks = [schedule.take("explain") for _ in range(4)]
    assert tasks == [Task(0, "explain"), Task(1, "explain"), Task(2, "explain"), None]
    schedule.give_back(Task(1, "explain"))
    schedule.give_back(Task(0, "explain"))
    assert schedule.take("explain") == Task(0, "explain")
    assert schedule.take("draw") is None
    schedule.add_drawable(2)
    assert schedule.take("draw") == Task(2, "draw")


def test_a_run_is_complete_after_both_steps() -> None:
    schedule = Schedule([0, 1], draws=True)
    for chunk in (0, 1):
        schedule.finish(Task(chunk, "explain"))
    assert not schedule.is_complete
    for chunk in (0, 1):
        schedule.finish(Task(chunk, "draw"))
    assert schedule.is_complete
    assert Schedule([], draws=True).is_complete
    without = Schedule([5], draws=False)
    without.finish(Task(5, "explain"))
    assert without.is_complete


def test_chunks_that_are_done_are_no_tasks() -> None:
    schedule = Schedule([0, 1, 2], draws=True, explained=[0, 1], drawn=[0])
    assert schedule.take("explain") == Task(2, "explain")
    for task in (Task(2, "explain"), Task(1, "draw"), Task(2, "draw")):
        assert not schedule.is_complete
        schedule.finish(task)
    assert schedule.is_complete


def test_a_task_that_ends_workers_ends_the_run() -> None:
    schedule = Schedule([7], draws=False)
    for _ in range(2 * MAX_CRASHES):  # lost nodes do not count
        schedule.give_back(Task(7, "explain"))
    for _ in range(MAX_CRASHES - 1):
        schedule.give_back(Task(7, "explain"), crashed="the worker on a ended")
    with pytest.raises(StreamcamError, match=r"chunk 7 .*the worker on a ended.*memory"):
        schedule.give_back(Task(7, "explain"), crashed="the worker on a ended")


def scale_pass(kind: MapKind = "heat", **values: Any) -> ScalePass:
    return ScalePass(3, TemporalOptions(**values), kind)


def test_a_chunk_is_drawn_once_those_before_are_explained() -> None:
    scale = scale_pass()
    scale.add_explained(1, (5.0, 1.0))
    assert scale.pop_drawable() == []
    scale.add_explained(0, (2.0, 3.0))
    assert scale.pop_drawable() == [0, 1]
    scale.add_explained(2, (1.0, 9.0))
    assert scale.pop_drawable() == [2]
    assert [scale.running_peaks(chunk) for chunk in range(3)] == [(), (2.0, 3.0), (5.0, 3.0)]
    assert scale.stream_peaks == ()


def test_scale_stream_waits_for_all() -> None:
    scale = scale_pass(scale="stream")
    for chunk in (0, 2):
        scale.add_explained(chunk, (1.0,))
        assert scale.pop_drawable() == []
    scale.add_explained(1, (4.0,))
    assert scale.pop_drawable() == [0, 1, 2]
    assert (scale.running_peaks(2), scale.stream_peaks) == ((), (4.0,))


def test_interpolation_needs_the_next_chunk() -> None:
    scale = scale_pass(every=4, interpolation="linear")
    scale.add_explained(0, (1.0,))
    assert scale.pop_drawable() == []
    scale.add_explained(1, (2.0,))
    assert scale.pop_drawable() == [0]
    scale.add_explained(2, (3.0,))
    assert scale.pop_drawable() == [1, 2]


@pytest.mark.parametrize(("kind", "interpolation"), [("heat", "flow"), ("pixels", "linear")])
def test_peaks_between_explained_frames_are_known_after_drawing(kind: MapKind, interpolation: Any) -> None:
    scale = scale_pass(kind, every=4, interpolation=interpolation)
    for chunk in range(3):
        scale.add_explained(chunk, (1.0,))
    assert scale.pop_drawable() == [0]
    scale.add_drawn(0, (1.5,))
    assert scale.pop_drawable() == [1]
    assert scale.running_peaks(1) == (1.5,)
    assert scale_pass(kind, every=4, interpolation=interpolation, scale="frame").is_serial is False


def test_mixed_coarse_maps_have_no_larger_peak() -> None:
    """The claim of `ScalePass`: the running peak from a chunk's first frame on does not depend on mixed maps."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        before, after = rng.normal(size=(2, 5, 5))
        w = rng.uniform()
        assert ((1 - w) * before + w * after).max() <= max(before.max(), after.max()) + 1e-12


@pytest.mark.parametrize("address", ["auto", "local", "ray://head:10001", "ray://10.0.0.1"])
def test_addresses(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["", "yes", "head:6379", "http://head:10001", "ray://", "ray://head:port"])
def test_other_addresses(address: str) -> None:
    with pytest.raises(OptionError, match=r"invalid --cluster .*; expected auto, local or ray://HOST:10001"):
        check_address(address)


def test_an_unreachable_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    expected = r"the cluster \S*127.0.0.1:9 does not answer: Connection refused; check that ray start --head"
    with pytest.raises(StreamcamError, match=expected), connect("ray://127.0.0.1:9"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(StreamcamError, match=expected), connect("auto"):
        pass


def test_without_ray_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(StreamcamError, match=r"not installed; pip install 'streamcam\[cluster\]'"), connect("local"):
        pass


def test_errors_of_the_user_are_values() -> None:
    failure = call(EchoWorker(), "fail")
    assert failure == Failure("ModelError", "no such model; use another")
    error = failure.error()
    assert (type(error), str(error)) == (ModelError, "no such model; use another")
    assert call(EchoWorker(), "square", 3) == 9
    with pytest.raises(ValueError, match="a defect"):
        call(EchoWorker(), "raise_error")
