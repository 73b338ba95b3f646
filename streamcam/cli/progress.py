"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A bar with frames, fps and remaining time on a terminal's stderr; nothing in a pipe or if ``quiet``."""

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
        """Set the expected number of frames."""
        self._progress.update(self._task, total=info.num_frames)

    def ready(self) -> None:
        """Start the clock: the fps do not include loading."""
        self._progress.update(self._task, description=self._name)
        self._progress.start_task(self._task)

    def frame(self, item: ExplainedFrame) -> None:
        """Count a frame."""
        self._progress.advance(self._task)

    def passes(self, done: int, total: int) -> None:
        """Show the progress of a multi-pass method on the current frames."""
        more = f": pass {done:,} of {total:,}" if done < total else ""
        self._progress.update(self._task, description=f"{self._name}{more}")

    def update(self, num_frames: int, total: int | None, passes: Sequence[int] | None, *, is_ready: bool) -> None:
        """Show the progress that another process reports.

        Args:
            num_frames: frames done.
            total: expected frames, if known.
            passes: passes done and in all, of a multi-pass method.
            is_ready: the model is loaded.
        """
        if is_ready and not self._progress.tasks[0].started:
            self.ready()
        self._progress.update(self._task, completed=num_frames, total=total)
        if passes is not None:
            self.passes(*passes)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
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
