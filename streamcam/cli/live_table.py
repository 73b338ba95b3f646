"""The status table of a live run, on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from ..live.status import Controller

_COLUMNS = ("camera", "", "fps", "explained", "p50 ms", "p99 ms", "dropped", "reconnects", "class")


class LiveTable:
    """A table on a terminal's stderr, updated twice a second; only lines in a pipe; nothing if ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet

    def print_line(self, line: str, *, always: bool = False) -> None:
        """Print a line above the table; ``always`` despite ``quiet``."""
        if self._quiet and not always:
            return
        if self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            self._console.out(line, highlight=False)

    @contextlib.contextmanager
    def show(self, controller: Controller) -> Iterator[None]:
        """Show a run until the block ends."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=lambda: _table(controller), console=self._console, refresh_per_second=2, transient=True
        ):
            yield


def _table(controller: Controller) -> Table:
    status = controller.status()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("camera", "", "class") else "right")
    for camera in status.cameras:
        best = camera.top[0] if camera.top else None
        table.add_row(
            camera.name,
            camera.state,
            f"{camera.fps:.1f}",
            f"{camera.explained_fps:.1f}",
            f"{camera.latency.p50:.0f}",
            f"{camera.latency.p99:.0f}",
            str(camera.frames_dropped),
            str(camera.reconnects),
            f"{best.label} {best.probability:.0%}" if best else status.activity,
        )
    return table
