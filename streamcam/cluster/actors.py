"""Workers as Ray actors: started on every node, driven by scripts, replaced when they are lost.

A script is a generator: it yields a `Call` of a method of its worker and is sent the result, or yields `WAIT` until
anything has changed. So the loop knows nothing of chunks, and scripts nothing of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..errors import StreamcamError, describe_error
from ..notes import get_logger
from .calls import Failure
from .nodes import Slot, find_slots

logger = get_logger(__name__)

WAIT: Final = None
"""A script that yields this is resumed when another call has ended."""

_POLL_SECONDS = 1.0
_NODES_SECONDS = 2.0
_NO_WORKER_SECONDS = 60.0
"""How long to wait for a node when none is left."""
_END_SECONDS = 10.0
"""How long to wait for workers to remove their files."""
_MAX_STARTS = 3
"""How often a worker is started on the same device."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the worker, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


class WorkerLost(Exception):
    """The worker is gone; thrown into its scripts.

    Attributes:
        crashed: how it ended if its node still lives; empty if the node is gone.
    """

    def __init__(self, crashed: str) -> None:
        super().__init__(crashed)
        self.crashed = crashed


Script: TypeAlias = Generator[Call | None, Any, None]


@dataclass(slots=True, eq=False)
class _Worker:
    slot: Slot
    actor: Any
    scripts: list[Script] = field(default_factory=list)


def _make_actor_class(worker: str) -> type:
    """Return the class of the actors.

    It is sent by value, as it is local, and imports streamcam late: so it can report the versions of a node that lacks
    streamcam or has another one.
    """

    class Actor:
        def __init__(self) -> None:
            self.worker: Any = None

        def call(self, method: str, *arguments: Any) -> Any:
            import importlib
            from importlib import metadata

            if method == "versions":
                found = {one.name.lower(): one.version for one in metadata.distributions() if one.name}
                return {name: found.get(name, "") for name in arguments[0]}
            if self.worker is None:
                module, _, name = worker.partition(":")
                self.worker = getattr(importlib.import_module(module), name)()
            return importlib.import_module("streamcam.cluster.calls").call(self.worker, method, *arguments)

    return Actor


class WorkerLoop:
    """Runs scripts on a worker for each device of a cluster.

    Args:
        ray: the module, connected.
        worker: ``module:class`` of the workers, importable on all nodes.
        device: as ``--device``.
        make_scripts: returns the scripts of a new worker; they run at the same time, each with one call at a time.
    """

    def __init__(self, ray: Any, worker: str, device: str, make_scripts: Callable[[Slot], Iterable[Script]]) -> None:
        self._ray = ray
        self._actor_class = _make_actor_class(worker)
        self._device = device
        self._make_scripts = make_scripts
        self._workers: dict[tuple[str, int], _Worker] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._calls: dict[Any, tuple[_Worker, Script]] = {}
        self._waiting: list[tuple[_Worker, Script]] = []
        self._alive: set[str] = set()
        self._nodes_read = self._last_worker = time.monotonic()

    def run(self, is_done: Callable[[], bool], on_poll: Callable[[], None] = lambda: None) -> None:
        """Run until ``is_done``; call ``on_poll`` about once a second.

        Raises:
            StreamcamError: a script failed, or no node is left.
        """
        self._update_nodes()
        while not is_done():
            ready, _ = self._ray.wait([*self._calls], num_returns=1, timeout=_POLL_SECONDS) if self._calls else ([], [])
            if not self._calls:
                time.sleep(_POLL_SECONDS)
            for reference in ready:
                self._finish(reference)
            waiting, self._waiting = self._waiting, []
            for worker, script in waiting:
                self._resume(worker, script, None)
            if time.monotonic() > self._nodes_read + _NODES_SECONDS:
                self._update_nodes()
            on_poll()

    def close(self) -> None:
        """End all workers; those that do nothing remove their files."""
        busy = {id(worker) for worker, _ in self._calls.values()}
        idle = [one for one in self._workers.values() if id(one) not in busy]
        if idle:
            self._ray.wait(
                [one.actor.call.remote("close") for one in idle], num_returns=len(idle), timeout=_END_SECONDS
            )
        for worker in self._workers.values():
            self._ray.kill(worker.actor)
        self._workers.clear()

    def _update_nodes(self) -> None:
        """Start workers on new devices, and again where one was lost."""
        nodes = self._ray.nodes()
        self._nodes_read = time.monotonic()
        self._alive = {str(node["NodeID"]) for node in nodes if node.get("Alive")}
        for slot in find_slots(nodes, self._device):
            key = slot.node_id, slot.number
            if key not in self._workers and self._starts.get(key, 0) < _MAX_STARTS:
                self._start(slot)
        if self._workers:
            self._last_worker = time.monotonic()
        elif not self._may_recover(nodes):
            raise StreamcamError(
                "no worker of the cluster is left"
                if self._starts
                else f"the cluster has no node with a device for --device {self._device}",
                hint="see ray status, and start nodes with ray start",
            )

    def _may_recover(self, nodes: Iterable[Any]) -> bool:
        """Return False if waiting is in vain: no worker ever, none for long, or all devices have failed."""
        slots = find_slots(nodes, self._device)
        if slots:
            return any(self._starts.get((one.node_id, one.number), 0) < _MAX_STARTS for one in slots)
        return bool(self._starts) and time.monotonic() < self._last_worker + _NO_WORKER_SECONDS

    def _start(self, slot: Slot) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        key = slot.node_id, slot.number
        scripts = list(self._make_scripts(slot))
        remote = self._ray.remote(self._actor_class).options(
            num_cpus=slot.num_cpus,
            num_gpus=slot.num_gpus,
            max_concurrency=len(scripts),
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node_id, soft=False),
        )
        worker = _Worker(slot, remote.remote(), scripts)
        self._workers[key] = worker
        self._starts[key] = self._starts.get(key, 0) + 1
        for script in scripts:
            self._resume(worker, script, None)

    def _resume(self, worker: _Worker, script: Script, result: Any) -> None:
        """Send a result to a script, and start its next call."""
        try:
            call = script.throw(result) if isinstance(result, Exception) else script.send(result)
        except StopIteration:
            worker.scripts.remove(script)
            return
        if call is WAIT:
            self._waiting.append((worker, script))
        else:
            self._calls[worker.actor.call.remote(call.method, *call.arguments)] = worker, script

    def _finish(self, reference: Any) -> None:
        if reference not in self._calls:  # its worker was lost meanwhile
            return
        worker, script = self._calls.pop(reference)
        exceptions = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.NodeDiedError) as error:
            self._lose(worker, error, script)
            return
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            raise StreamcamError(f"the node {worker.slot.host} failed: {describe_error(cause)}") from error
        self._resume(worker, script, result.error() if isinstance(result, Failure) else result)

    def _lose(self, worker: _Worker, error: Exception, script: Script) -> None:
        """Give the tasks of a lost worker back to its scripts."""
        slot = worker.slot
        self._workers.pop((slot.node_id, slot.number), None)
        self._alive = {str(node["NodeID"]) for node in self._ray.nodes() if node.get("Alive")}
        node_died = slot.node_id not in self._alive or "node has died" in str(error)
        crashed = "" if node_died else f"the worker on {slot.host} ended"
        logger.warning("%s; its chunks are done again", crashed or f"the node {slot.host} is lost")
        for reference in [one for one, (owner, _) in self._calls.items() if owner is worker]:
            del self._calls[reference]
        self._waiting = [(owner, one) for owner, one in self._waiting if owner is not worker]
        for one in list(worker.scripts):
            try:
                one.throw(WorkerLost(crashed))
            except (StopIteration, WorkerLost):
                continue
        self._ray.kill(worker.actor)
        if not node_died:
            self._update_nodes()
