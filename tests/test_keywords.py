"""The typed keywords of `streamcam.process` against the fields of the option objects, and against mypy."""

from __future__ import annotations

import inspect
import json
import pydoc
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

import streamcam
from streamcam import keywords
from streamcam.cli.app import app
from streamcam.cli.errors import handle_errors
from streamcam.cli.options import DRAW, select, with_options
from streamcam.explainer import Explainer
from streamcam.job import FramesJob, Job
from streamcam.option_fields import Help, Range, check_options, option_fields
from streamcam.options import DrawOptions

KEYWORDS = {
    "model": keywords.ModelKeywords,
    "explain": keywords.ExplainKeywords,
    "temporal": keywords.TemporalKeywords,
    "draw": keywords.DrawKeywords,
    "source": keywords.SourceKeywords,
    "sink": keywords.SinkKeywords,
}
POSITIONAL = {"url", "path"}


@pytest.mark.parametrize("part", KEYWORDS)
def test_keywords_are_the_fields(part: str) -> None:
    fields = option_fields(option_fields(Job)[part].type)
    hints = get_type_hints(KEYWORDS[part])
    assert list(hints) == [name for name in fields if name not in POSITIONAL]
    assert {name: hints[name] for name in hints if name != "target"} == {
        name: one.type for name, one in fields.items() if name not in POSITIONAL | {"target"}
    }


def test_a_job_takes_every_keyword() -> None:
    assert set(KEYWORDS) == set(option_fields(Job))
    expected = {name for kind in KEYWORDS.values() for name in get_type_hints(kind)}
    assert set(get_type_hints(keywords.JobKeywords)) == expected


def test_the_explainer_takes_the_fields_of_model_and_method() -> None:
    fields = {**get_type_hints(keywords.ModelKeywords), **get_type_hints(keywords.ExplainKeywords)}
    taken = {name for name in Explainer.__init__.__annotations__ if name != "return"}
    assert taken == set(fields)


def test_help_of_process_shows_every_keyword() -> None:
    text = pydoc.render_doc(streamcam.process, renderer=pydoc.plaintext)
    for name in get_type_hints(keywords.JobKeywords):
        assert f"{name}: " in text
    assert "alpha: float = 0.6" in text


def test_help_of_frames_shows_every_keyword() -> None:
    text = pydoc.render_doc(streamcam.frames, renderer=pydoc.plaintext)
    hints = get_type_hints(keywords.FramesKeywords)
    assert set(hints) == set(get_type_hints(keywords.JobKeywords)) - {
        *get_type_hints(keywords.DrawKeywords),
        *get_type_hints(keywords.SinkKeywords),
    }
    for name in hints:
        assert f"{name}: " in text
    assert FramesJob.from_options("a.mp4", every=2).temporal.every == 2


@pytest.mark.parametrize("documented", [Explainer, Explainer.explain, streamcam.Explanation.overlay])
def test_help_describes_every_argument_on_a_line_of_its_own(documented: Any) -> None:
    """`help(Explainer)` is all that a notebook shows."""
    text = pydoc.render_doc(documented, renderer=pydoc.plaintext)
    for name in inspect.signature(documented).parameters:
        assert name == "self" or re.search(rf"^[ |]+{name}: \w|^[ |]+{name}: `", text, re.MULTILINE), name


def test_every_option_has_help() -> None:
    fields = [one for part in KEYWORDS for one in option_fields(option_fields(Job)[part].type).values()]
    python_only = {one.name for one in fields if one.help is None}
    assert python_only == {"url", "path", "timeout_seconds"}
    text = CliRunner().invoke(app, ["process", "--help"], env={"COLUMNS": "200"}).stdout
    assert [one.option for one in fields if one.help and one.option not in text] == []


def test_mypy_checks_a_call(tmp_path: Path) -> None:
    calls = tmp_path / "calls.py"
    calls.write_text(
        "import streamcam\n"
        "streamcam.process('a.mp4', 'b.mp4', alpha=0.5, every='auto', layout='heatmap', target=['top', 3])\n"
        "streamcam.process('a.mp4', 'b.mp4', alpa=0.5)\n"
        "streamcam.process('a.mp4', 'b.mp4', alpha='full')\n"
        "streamcam.process('a.mp4', 'b.mp4', layout='stacked')\n"
        "streamcam.Explainer('ResNet50', fit='squash')\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--follow-imports=silent", str(calls)]
    root = Path(__file__).parents[1]
    cache = ["--cache-dir", str(root / ".mypy_cache")]
    done = subprocess.run([*command, *cache], capture_output=True, text=True, check=False, cwd=root)
    lines = [line.partition("calls.py:")[2] for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.partition(":")[0] for line in lines] == ["3", "4", "5", "6"], done.stdout + done.stderr
    for line, name in zip(lines, ("alpa", "alpha", "layout", "fit"), strict=True):
        assert f'"{name}"' in line


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """An option object with a made-up option: this field is the first of the two edits."""

    demo_gain: Annotated[float, Help("Gain of the demonstration."), Range(0, 4)] = 1.5
    demo_mode: Annotated[Literal["soft", "hard"], Help("Mode of the demonstration.")] = "soft"

    def __post_init__(self) -> None:
        check_options(self)


def demo(*arguments: str) -> Any:
    """Run a command that takes the made-up options: naming them is the second edit."""

    @with_options({"Demo": select(DemoOptions, ["demo_gain", "demo_mode"])})
    def run(**values: Any) -> None:
        """Print the options."""
        typer.echo(json.dumps([DemoOptions(**values).demo_gain, DemoOptions(**values).demo_mode]))

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(handle_errors(run))
    return CliRunner().invoke(command, list(arguments), env={"COLUMNS": "120"})


def test_a_new_option_is_a_field_and_a_line_in_the_command() -> None:
    assert json.loads(demo().stdout) == [1.5, "soft"]
    assert json.loads(demo("--demo-gain", "2", "--demo-mode", "hard").stdout) == [2.0, "hard"]
    help_text = demo("--help").stdout
    for part in ("--demo-gain", "Gain of the demonstration.", "[default: 1.5]", "soft|hard"):
        assert part in help_text
    result = demo("--demo-gain", "9")
    assert (result.exit_code, result.stderr) == (2, "streamcam: invalid --demo-gain 9; expected 0 to 4\n")
    result = demo("--demo-mode", "sofd")
    expected = "streamcam: unknown --demo-mode 'sofd'; expected one of soft, hard; did you mean 'soft'?\n"
    assert (result.exit_code, result.stderr) == (2, expected)


def test_a_command_without_options_gets_the_defaults() -> None:
    """What --help shows as a default is not always the value."""
    found: list[DrawOptions] = []

    @with_options({"Drawing": DRAW})
    def run(**values: Any) -> None:
        """Keep the options."""
        found.append(DrawOptions(**values))

    command = typer.Typer(add_completion=False)
    command.command()(run)
    assert CliRunner().invoke(command, [], catch_exceptions=False).exit_code == 0
    assert found == [DrawOptions()]
