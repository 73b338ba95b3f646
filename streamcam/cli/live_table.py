"""How a live run stands, on the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from ..live.status import Controller

_COLUMNS = ("camera", "", "fps", "explained", "age ms", "99 %", "dropped", "reconnects", "class")


class LiveTable:
    """A table that is renewed twice a second on a terminal's stderr; only lines in a pipe; nothing when ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet

    def print_line(self, line: str) -> None:
        """Prints a line above the table."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False)
        else:
            self._console.out(line, highlight=False)

    @contextlib.contextmanager
    def show(self, controller: Controller) -> Iterator[None]:
        """Shows a run while the block lasts."""
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
