"""Workers on a real Ray cluster of two nodes on this machine: lost nodes, ended workers, errors. No model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcam.cluster.actors import WAIT, Call, Script, WorkerLoop, WorkerLost
from streamcam.cluster.address import connect
from streamcam.cluster.nodes import Slot
from streamcam.errors import ModelError, StreamcamError

from .conftest import add_node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WORKER = "tests.cluster.echo:EchoWorker"


@pytest.fixture
def ray(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with connect("auto") as ray:
        yield ray


def loop_of(ray: Any, make_scripts: Callable[[Slot], list[Script]]) -> WorkerLoop:
    return WorkerLoop(ray, WORKER, "auto", make_scripts)


def test_tasks_of_lost_workers_go_to_others(cluster: Any, ray: Any, tmp_path: Path) -> None:
    """One worker is killed, and a node is removed while a worker of it is in a call."""
    doomed = add_node(cluster)
    add_node(cluster)
    doomed_id = doomed.node_id
    tasks, results, lost = list(range(30)), dict[int, int](), list[str]()
    versions: list[dict[str, str]] = []
    events = {"kill": False, "remove": False}

    def work(slot: Slot) -> Script:
        versions.append((yield Call("versions", (["streamcam", "nosuch"],))))
        while True:
            if not tasks:
                yield WAIT
                continue
            task = tasks.pop()
            try:
                if slot.node_id == doomed_id:
                    yield Call("wait_for", (str(tmp_path),))
                elif task == 10 and not events["kill"]:
                    events["kill"] = True
                    yield Call("end")
                results[task] = yield Call("square", (task,))
            except WorkerLost as error:
                lost.append(error.crashed)
                tasks.append(task)
                raise

    def remove_node() -> None:
        if list(tmp_path.iterdir()) and not events["remove"]:
            events["remove"] = True
            cluster.remove_node(doomed)

    loop = loop_of(ray, lambda slot: [work(slot)])
    loop.run(lambda: len(results) == 30 and events["remove"], remove_node)
    loop.close()
    assert results == {number: number**2 for number in range(30)}
    assert sorted(bool(reason) for reason in lost) == [False, True]
    assert versions[0]["nosuch"] == ""
    assert versions[0]["streamcam"]


def test_scripts_of_a_worker_run_at_the_same_time(cluster: Any, ray: Any, tmp_path: Path) -> None:
    pids: list[int] = []

    def wait(slot: Slot) -> Script:
        pids.append((yield Call("wait_for", (str(tmp_path),))))

    def release(slot: Slot) -> Script:
        while not list(tmp_path.iterdir()):
            yield Call("square", (2,))
        (tmp_path / "go").touch()

    loop = loop_of(ray, lambda slot: [wait(slot), release(slot)])
    loop.run(lambda: bool(pids))
    loop.close()
    assert (tmp_path / str(pids[0])).exists()


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        ("fail", ModelError, "no such model; use another"),
        ("raise_error", StreamcamError, r"the node \S+ failed: ValueError: a defect$"),
    ],
)
def test_errors_of_a_worker_end_the_run(
    cluster: Any, ray: Any, method: str, kind: type[StreamcamError], message: str
) -> None:
    def fail(slot: Slot) -> Script:
        yield Call(method)

    loop = loop_of(ray, lambda slot: [fail(slot)])
    with pytest.raises(kind, match=message):
        loop.run(lambda: False)
    loop.close()


def test_a_device_that_always_fails_ends_the_run(cluster: Any, ray: Any) -> None:
    """Three workers end on the only device; waiting longer would be in vain."""

    def end(slot: Slot) -> Script:
        yield Call("end")

    loop = loop_of(ray, lambda slot: [end(slot)])
    with pytest.raises(StreamcamError, match="no worker of the cluster is left"):
        loop.run(lambda: False)


def test_no_node_has_the_device(cluster: Any, ray: Any) -> None:
    loop = WorkerLoop(ray, WORKER, "gpu:0", lambda slot: [])
    with pytest.raises(StreamcamError, match="no node with a device for --device gpu:0"):
        loop.run(lambda: False)
