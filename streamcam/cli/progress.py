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
        return Text(f"{speed:.1f} fps" if speed and not task.fields.get("counts_inputs") else "", "progress.data.speed")


class ProgressDisplay:
    """Rows of progress on a terminal's stderr; nothing in a pipe or if ``quiet``.

    Args:
        num_inputs: inputs in all, for a row that counts them; 0 shows none.
        quiet: show nothing.
    """

    def __init__(self, num_inputs: int = 0, *, quiet: bool) -> None:
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
        self._inputs = self._progress.add_task("inputs", total=num_inputs, counts_inputs=True) if num_inputs else None

    def add(self, name: str) -> ProgressRow:
        """Return a new row.

        Args:
            name: of the input.
        """
        return ProgressRow(self._progress, name)

    def count_input(self) -> None:
        """Count an input that is done or has failed."""
        if self._inputs is not None:
            self._progress.advance(self._inputs)

    def print_line(self, line: str) -> None:
        """Print a line above the rows."""
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


class ProgressRow:
    """One input: a bar with frames, fps and remaining time."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self._task = self._progress.add_task(f"{name}: loading the model", total=None, start=False)
        self._is_ready = False

    def on_open(self, info: SourceInfo) -> None:
        """Set the expected number of frames."""
        self._progress.update(self._task, total=info.num_frames)

    def ready(self) -> None:
        """Start the clock: the fps do not include loading."""
        self._is_ready = True
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
        if is_ready and not self._is_ready:
            self.ready()
        self._progress.update(self._task, completed=num_frames, total=total)
        if passes is not None:
            self.passes(*passes)

    def remove(self) -> None:
        """Remove the row."""
        self._progress.remove_task(self._task)


class ProgressBar(ProgressDisplay, ProgressRow):
    """The display of a single input."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        ProgressDisplay.__init__(self, quiet=quiet)
        ProgressRow.__init__(self, self._progress, name)
