"""Every Python and console block of the documentation runs.

A console command that needs what a test machine lacks (a camera, a network, a GPU, downloaded weights) or that ends
with Ctrl-C only is parsed and validated up to the point where the run would begin.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from streamcam.cli.app import app

from .blocks import ROOT, Block, Command, blocks, commands, pages
from .reader import make_files

OTHER_LIBRARIES = ("tf-explain", "visual-logging", "tf-keras-vis", "pytorch-grad-cam")
"""Titles of Python blocks that show a call of a library which is not installed: they are parsed."""

OTHER_PROGRAMS = ("some-recorder", "some-player")
"""Programs in pipes that stand for the reader's own."""

NEEDS = (
    (re.compile(r"(rtsps?|rtmp|https?)://"), "a network"),
    (re.compile(r"(webcam|/dev/video)"), "a camera"),
    (re.compile(r"(nvdec|nvenc|gpu:\d)"), "a GPU"),
    (re.compile(r"^--cluster$"), "a Ray cluster"),
    (re.compile(r"(ResNet50|MobileNetV2|VGG16)\b"), "downloaded weights"),
)
TEXT = ("python", "console")
OTHER_LANGUAGES = ("bash", "dockerfile", "ini", "json", "nginx", "text", "yaml")


PARSED = 77
"""Exit code in place of a run, once all of its options have been accepted."""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has at hand: clips, a photo, models of their own."""
    return make_files(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the reader's files; modules that a page writes are forgotten afterwards."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("archive", "www"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SECRET", "a token of 16 characters")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith((str(tmp_path), str(files))):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if any(b.language in TEXT for b in blocks(page))])
def test_blocks_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python":
            run_python(block, namespace)
        elif block.language == "console":
            found = [command for command in commands(block) if command.arguments[0] not in OTHER_PROGRAMS]
            assert found, f"{page}:{block.line} has no command"
            for command in found:
                run_command(block, command, monkeypatch)


@pytest.mark.parametrize("page", pages())
def test_languages_are_known(page: str) -> None:
    unknown = {block.language for block in blocks(page)} - {*TEXT, *OTHER_LANGUAGES}
    assert not unknown, f"{page} has blocks that no test knows: {unknown}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("streamcam process holiday.mp4 --no-such-option", "No such option"),
        ("streamcam process holiday.mp4 --fit sideways", "fit"),
        ("streamcam live rtsp://192.0.2.7/stream --reconnect sometimes", "reconnect"),
        ("streamcam proces holiday.mp4", "No such command"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block("a page", 1, "console", "", f"$ {line}\n")
    (command,) = commands(block)
    with pytest.raises(AssertionError, match=message):
        run_command(block, command, monkeypatch)


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    """Execute a block in its page's namespace; one that has a file name as title is also written there."""
    where = f"{block.page}:{block.line}"
    if block.title in OTHER_LIBRARIES:
        ast.parse(block.code, where)
        return
    if block.title.endswith(".py"):
        Path(block.title).write_text(block.code, encoding="utf-8")
        importlib.invalidate_caches()
        importlib.import_module(Path(block.title).stem)
        return
    # The lines keep their numbers, so that a traceback points into the page.
    code = "\n" * (block.line - 1) + block.code
    exec(compile(code, str(ROOT / block.page), "exec"), namespace)


def run_command(block: Block, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in this process; or, where it cannot run here, up to the point where the run would begin."""
    where = f"{block.page}:{block.line}: {command.text}"
    program, *arguments = [os.path.expandvars(argument) for argument in command.arguments]
    assert program == "streamcam", f"{where}: {program} is no program that a test can run"
    missing = needs(arguments, piped=command.piped)
    before = set(Path().iterdir())
    with monkeypatch.context() as patch:
        for name, value in command.environment.items():
            patch.setenv(name, value)
        if missing:
            begin_no_run(patch)
        result = CliRunner().invoke(app, arguments)
    wanted = PARSED if missing else 0
    assert result.exit_code == wanted, f"{where}: exit code {result.exit_code}: {result.output}\n{result.exception!r}"
    # Each example of a page is one for itself: it may write what another one wrote.
    for path in set(Path().iterdir()) - before:
        if path.suffix in (".mp4", ".mkv", ".png"):
            path.unlink()


def needs(arguments: list[str], *, piped: bool) -> str:
    """Return what a command needs that a test machine lacks, or an empty text."""
    if piped:
        return "other programs"
    for pattern, what in NEEDS:
        if any(pattern.search(argument) for argument in arguments):
            return what
    if arguments[0] == "live" and "--duration" not in arguments:
        return "Ctrl-C"
    if arguments[0] == "bench":
        return "minutes"
    return ""


def begin_no_run(patch: pytest.MonkeyPatch) -> None:
    """Let each function that begins a run end the command instead."""

    def parsed(*_: object, **__: object) -> None:
        raise typer.Exit(PARSED)

    # Before the pipeline's: it imports that.
    patch.setattr("streamcam.cli.cluster.run_on_cluster", parsed)
    patch.setattr("streamcam.pipeline.run", parsed)
    patch.setattr("streamcam.live.pipeline.run_live", parsed)
    patch.setattr("streamcam.bench.result.bench", parsed)
    patch.setattr("streamcam.bench.scaling.measure_scaling", parsed)
    patch.setattr("streamcam.studies.filters.study.run_study", parsed)
    patch.setattr("streamcam.training.visual_log.reading.inspect_source", parsed)


def test_the_files_of_the_reader_are_small(files: Path) -> None:
    with Image.open(files / "photo.jpg") as image:
        assert np.asarray(image).shape == (150, 225, 3)
    assert sum(path.stat().st_size for path in files.rglob("*") if path.is_file()) < 2_000_000
