"""Run the scripts of a cluster in this process, one call after another: no Ray, the same workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from streamcam.cluster.calls import Failure, call
from streamcam.cluster.nodes import Slot
from streamcam.cluster.worker import ChunkWorker
from streamcam.record import installed_versions


@contextlib.contextmanager
def no_cluster(address: str) -> Iterator[None]:
    yield None


class InlineLoop:
    """Stands in for `streamcam.cluster.actors.WorkerLoop`, with two workers."""

    before_call: Callable[[str], None] = staticmethod(lambda method: None)

    def __init__(self, ray: None, worker: str, device: str, make_scripts: Callable[[Slot], Any]) -> None:
        self._workers = [ChunkWorker(), ChunkWorker()]
        slots = [Slot(f"node-{number}", f"host-{number}", 0, 1.0, 0) for number in range(2)]
        self._scripts = [
            (script, worker) for slot, worker in zip(slots, self._workers, strict=True) for script in make_scripts(slot)
        ]

    def run(self, is_done: Callable[[], bool]) -> None:
        results: dict[int, Any] = {}
        while not is_done():
            for number, (script, worker) in enumerate(self._scripts):
                result = results.pop(number, None)
                wanted = script.throw(result) if isinstance(result, Exception) else script.send(result)
                if wanted is not None:
                    results[number] = self._call(worker, wanted.method, wanted.arguments)

    def _call(self, worker: ChunkWorker, method: str, arguments: tuple[Any, ...]) -> Any:
        type(self).before_call(method)
        if method == "versions":
            return {name: installed_versions().get(name, "") for name in arguments[0]}
        result = call(worker, method, *arguments)
        return result.error() if isinstance(result, Failure) else result

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
