"""Which task a worker takes next, and which are done."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import StreamcamError

Step: TypeAlias = Literal["explain", "draw"]
"""A chunk is explained and recorded first; it is drawn and encoded when the scale of its frames is known."""

MAX_CRASHES = 3
"""How often the same task may end a worker before the run ends too."""


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """A step of a chunk."""

    chunk: int
    step: Step


class Schedule:
    """The tasks of a run.

    The first chunks come first, so that the chunks done are a prefix but for those in work.

    Args:
        chunks: numbers of the chunks.
        draws: the chunks are drawn too.
        explained, drawn: chunks of an earlier run that have passed a step.
    """

    def __init__(
        self, chunks: Iterable[int], *, draws: bool, explained: Iterable[int] = (), drawn: Iterable[int] = ()
    ) -> None:
        self._chunks = frozenset(chunks)
        self._done: dict[Step, set[int]] = {"explain": set(explained), "draw": set(drawn)}
        self._waiting: dict[Step, list[int]] = {"explain": sorted(self._chunks - self._done["explain"]), "draw": []}
        self._steps: tuple[Step, ...] = ("explain", "draw") if draws else ("explain",)
        self._crashes: dict[Task, int] = {}

    def take(self, step: Step) -> Task | None:
        """Return the next task of a step, None if none is ready."""
        waiting = self._waiting[step]
        return Task(heapq.heappop(waiting), step) if waiting else None

    def add_drawable(self, chunk: int) -> None:
        """Make the drawing of a chunk ready: the scale of its frames is known."""
        heapq.heappush(self._waiting["draw"], chunk)

    def finish(self, task: Task) -> None:
        """Count a task as done."""
        self._done[task.step].add(task.chunk)

    def give_back(self, task: Task, *, crashed: str = "") -> None:
        """Make a task ready again: its worker is gone.

        Args:
            task: of that worker.
            crashed: how the worker ended, if its node still lives: the task may be the cause.

        Raises:
            StreamcamError: the task has ended too many workers.
        """
        if crashed:
            self._crashes[task] = self._crashes.get(task, 0) + 1
            if self._crashes[task] >= MAX_CRASHES:
                raise StreamcamError(
                    f"chunk {task.chunk} ended {MAX_CRASHES} workers: {crashed}",
                    hint="if it was out of memory, give the nodes more of it",
                )
        heapq.heappush(self._waiting[task.step], task.chunk)

    def done(self, step: Step) -> frozenset[int]:
        """Return the chunks that have passed a step."""
        return frozenset(self._done[step])

    @property
    def is_complete(self) -> bool:
        """True when all steps of all chunks are done."""
        return all(self._done[step] >= self._chunks for step in self._steps)
