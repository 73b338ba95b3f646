"""The generated references are complete, and examples of JSON have the keys that the commands print."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.docs_reference import command_parameters, command_reference, metrics_reference, routes_reference
from streamcam.cli.app import app

from .blocks import blocks

CALLBACKS = [info.callback for info in app.registered_commands if info.callback is not None]


@pytest.mark.parametrize("callback", CALLBACKS, ids=lambda callback: callback.__name__)
def test_every_option_of_help_is_in_the_reference(callback) -> None:
    name = callback.__name__.replace("_", "-")
    printed = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    section = command_reference().split(f"\n## streamcam {name}\n")[1].split("\n## ")[0]
    for parameter in command_parameters(callback):
        assert f"`{parameter.names[0]}`".replace("|", "\\|") in section
        assert parameter.names[0].lower() in printed.lower()
    assert len(command_parameters(callback)) == len(inspect.signature(callback).parameters)


def test_choices_and_defaults_are_in_the_reference() -> None:
    rows = {line.split(" | ")[0]: line for line in command_reference().splitlines() if line.startswith("| `--")}
    assert "`letterbox`" in rows["| `--fit`"]
    assert "`auto`" in rows["| `--every`"]
    assert "`gradcam`" in rows["| `--method`"]
    assert "`--no-caption`" in rows["| `--caption`, `--no-caption`"]
    assert "repeatable" in rows["| `--target`"]
    assert "switch" in rows["| `--overwrite`"]


def test_metrics_and_routes_are_tables() -> None:
    assert "`streamcam_frames_total` | counter | `camera`, `stage`" in metrics_reference()
    assert "| `GET /api/status` |" in routes_reference()
    assert "| `GET /healthz` |" in routes_reference()


@pytest.mark.slow
def test_json_example_has_the_keys_of_a_run(tmp_path: Path, clip: Path) -> None:
    (example,) = [json.loads(b.code) for b in blocks("docs/reference/json.md") if b.language == "json"]
    result = CliRunner().invoke(app, ["process", str(clip), "--end", "0.1", "-o", str(tmp_path / "o.mp4"), "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert list(example) == list(printed)
    assert list(example["stage_seconds"]) == list(printed["stage_seconds"])


def test_docstring_entries_document_each_of_their_names() -> None:
    split_names = pytest.importorskip("scripts.griffe_names", reason="needs the extra docs").split_names
    entries = ["    width, height: of a frame;", "        0 before.", "    fps: rate, a second."]
    text = "\n".join(["Summary.", "", "Attributes:", *entries, "", "A, b: text."])
    assert split_names(text).splitlines() == [
        "Summary.",
        "",
        "Attributes:",
        "    width: of a frame;",
        "        0 before.",
        "    height: of a frame;",
        "        0 before.",
        "    fps: rate, a second.",
        "",
        "A, b: text.",
    ]
