"""The progress bar of a run."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from ..frames import ExplainedFrame, SourceInfo


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "", style="progress.data.speed")


class ProgressBar:
    """A bar with frames, fps and time left on a terminal's stderr; nothing in a pipe or when ``quiet``."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _FramesPerSecond(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._name = name
        self._task = self._progress.add_task(f"{name}: loading the model", total=None, start=False)

    def on_open(self, info: SourceInfo) -> None:
        """Takes over the number of frames to expect."""
        self._progress.update(self._task, total=info.num_frames)

    def ready(self) -> None:
        """Starts the clock: loading is not counted into the fps."""
        self._progress.update(self._task, description=self._name)
        self._progress.start_task(self._task)

    def frame(self, item: ExplainedFrame) -> None:
        """Counts a frame."""
        self._progress.advance(self._task)

    def passes(self, done: int, total: int) -> None:
        """Shows how far a method of many passes is with the frames at hand."""
        more = f": pass {done:,} of {total:,}" if done < total else ""
        self._progress.update(self._task, description=f"{self._name}{more}")

    def print_line(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._progress.disable:
            self._progress.console.out(line, highlight=False)
        else:
            self._progress.console.print(line, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
