"""The rows of progress on a terminal, and the lines beside them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from streamcam.cli import progress
from streamcam.cli.progress import ProgressDisplay


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    return file


def shown(display: ProgressDisplay, terminal: io.StringIO) -> str:
    """The rows as they are now."""
    start = terminal.tell()
    console = display._progress.console
    console.print(display._progress.get_renderable())
    terminal.seek(start)
    return terminal.read()


def test_each_input_in_progress_has_a_row(terminal: io.StringIO) -> None:
    display = ProgressDisplay(3, quiet=False)
    first, second = display.add("a.mp4"), display.add("b.mp4")
    assert "a.mp4: loading the model" in shown(display, terminal)
    first.update(10, 40, None, is_ready=True)
    second.update(0, 50, (3, 9), is_ready=True)
    text = shown(display, terminal)
    assert "loading" not in text
    for part in ("a.mp4", "10/40", "b.mp4: pass 3 of 9", "0/50", "0/3"):
        assert part in text
    first.remove()
    display.count_input()
    text = shown(display, terminal)
    assert "a.mp4" not in text
    assert "1/3" in text
    inputs = next(line for line in text.splitlines() if "inputs" in line)
    assert "fps" not in inputs


def test_lines_are_printed_in_a_pipe_too(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(2, quiet=False) as display:
        display.add("a.mp4").update(1, 2, None, is_ready=True)
        display.print_line("a.mp4: [done] " + "x" * 200)
    assert capsys.readouterr().err == "a.mp4: [done] " + "x" * 200 + "\n"
