"""Tables on stdout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_UNBOUNDED = 400


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as wide as the terminal; in a pipe, as its content."""
    width = shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else _UNBOUNDED
    output = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        output.add_row(*row)
    Console(width=width, highlight=False, markup=False).print(output)
