"""The scripts that the driver runs on each worker: prepare it, then hand out chunks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, StreamcamError
from ..job import Job
from ..notes import get_logger
from ..record import installed_versions
from .actors import WAIT, Call, Script, WorkerLost
from .files import JobFile
from .nodes import Slot
from .values import Drawn, Explained, WorkerFacts

if TYPE_CHECKING:
    from .results import Results

logger = get_logger(__name__)

_COMPARED_PACKAGES = ("streamcam", "tensorflow", "keras", "av", "numpy")
"""Packages whose versions decide what maps and frames look like."""


class ChunkScripts:
    """The scripts of the workers, and what they share.

    Args:
        job: the job, with local files.
        files: local files of the job.
        remote: names of those files that nodes fetch themselves, and their URLs.
        results: keeps what the workers return.
    """

    def __init__(
        self,
        job: Job,
        files: tuple[JobFile, ...],
        remote: dict[str, str],
        results: Results,
    ) -> None:
        self._job, self._files, self._remote = job, files, remote
        self._results = results
        self._places: dict[str, dict[str, str] | None] = {}
        self._ready: set[tuple[str, int]] = set()
        self._noted: set[str] = set()

    def __call__(self, slot: Slot) -> list[Script]:
        """Return the scripts of a new worker: one explains, the others draw."""
        self._ready.discard((slot.node_id, slot.number))
        return [self._explain(slot), *(self._draw(slot) for _ in range(slot.num_drawers))]

    def _explain(self, slot: Slot) -> Script:
        yield from self._prepare(slot)
        self._ready.add((slot.node_id, slot.number))
        while True:
            task = self._results.schedule.take("explain")
            if task is None:
                yield WAIT
                continue
            try:
                result: Explained = yield Call("explain", (self._results.plan[task.chunk],))
            except WorkerLost as lost:
                self._results.schedule.give_back(task, crashed=lost.crashed)
                raise
            except DeviceError as error:
                logger.warning("%s: %s; its chunks are done again", slot.host, error)
                self._results.schedule.give_back(task, crashed=str(error))
                return
            self._note(result.notes)
            self._results.add_explained(task, result)

    def _draw(self, slot: Slot) -> Script:
        while (slot.node_id, slot.number) not in self._ready:
            yield WAIT
        while True:
            task = self._results.schedule.take("draw")
            if task is None:
                yield WAIT
                continue
            try:
                result: Drawn = yield Call("draw", (self._results.draw_task(task.chunk),))
            except WorkerLost as lost:
                self._results.schedule.give_back(task, crashed=lost.crashed)
                raise
            self._note(result.notes)
            self._results.add_drawn(task, result)

    def _prepare(self, slot: Slot) -> Script:
        """Check a node's software, bring its files, load the model."""
        installed = installed_versions()
        found: dict[str, str] = yield Call("versions", (_COMPARED_PACKAGES,))
        for name in _COMPARED_PACKAGES:
            if found[name] != installed.get(name, ""):
                raise StreamcamError(
                    f"the node {slot.host} has {f'{name} {found[name]}' if found[name] else f'no {name}'}",
                    expected=f"{installed.get(name, 'none')}, as here",
                    hint=f"install the same version of {name} on all nodes",
                )
        places = yield from self._place_files(slot)
        while True:
            facts = yield from self._load(slot, places)
            if self._results.adopt(facts):
                return

    def _load(self, slot: Slot, places: dict[str, str]) -> Generator[Call | None, Any, WorkerFacts]:
        job = self._results.fix_choices(self._job)
        try:
            facts: WorkerFacts = yield Call("prepare", (job.to_dict(), places))
        except StreamcamError as error:
            raise type(error)(f"on the node {slot.host}: {error}") from error
        self._note(facts.notes)
        return facts

    def _place_files(self, slot: Slot) -> Generator[Call | None, Any, dict[str, str]]:
        """Return where a node has the files of the job; the first worker of a node copies those that are missing."""
        while slot.node_id in self._places:
            places = self._places[slot.node_id]
            if places is not None:
                return places
            yield WAIT
        self._places[slot.node_id] = None
        try:
            places = {file.name: file.path for file in self._files}
            missing: list[int] = yield Call("missing", (self._files,))
            for number in missing:
                file = self._files[number]
                if file.name in self._remote:
                    places[file.name] = yield Call("fetch", (self._remote[file.name], file))
                    continue
                megabytes = sum(part.size for part in file.parts) / 1e6
                logger.info("%s does not see %s: it is sent, %.1f MB", slot.host, file.path, megabytes)
                for relative, data in file.pieces():
                    places[file.name] = yield Call("receive", (number, file.base_name, relative, data))
        except BaseException:
            del self._places[slot.node_id]
            raise
        self._places[slot.node_id] = places
        return places

    def _note(self, notes: Sequence[str]) -> None:
        """Pass on each message of the workers once."""
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                logger.info("%s", note)
