"""Run the command line in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from streamcam.cli.app import app


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text
