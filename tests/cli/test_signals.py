"""Signals that end a command: its exit code and its one line, whenever they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import typer

from streamcam.cli.errors import handle_errors
from streamcam.errors import SinkError
from tests.media_helpers import frame_times

from .runner import cli, one_line

ROOT = Path(__file__).parents[2]
SMALL = ["--model", "tests.pipeline.models:brightness", "--preprocess", "none", "--precision", "float32"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM", signal.SIGHUP: "stopped by SIGHUP"}


def exit_code(command: Any, *, is_service: bool = False) -> int:
    with pytest.raises(typer.Exit) as end:
        handle_errors(command, is_service=is_service)()
    return end.value.exit_code


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("is_service", [False, True])
def test_a_service_ends_well_by_sigterm_and_others_do_not(
    number: signal.Signals, is_service: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(one) for one in CODES]
    code = exit_code(lambda: os.kill(os.getpid(), number), is_service=is_service)
    assert code == (0 if is_service and number != signal.SIGINT else CODES[number])
    assert one_line(capsys.readouterr().err) == f"streamcam: {WORDS[number]}\n"
    assert [signal.getsignal(one) for one in CODES] == before


def test_an_output_that_fails_after_the_interrupt_is_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise SinkError("no space left") from None

    assert exit_code(command) == 1
    assert "no space left" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["swallows_the_interrupt", "turns_the_interrupt_into_an_error"])
def test_an_interrupt_that_a_library_swallows_ends_the_run(clip: Path, tmp_path: Path, model: str) -> None:
    small = ["--model", f"tests.cli.stopping:{model}", *SMALL[2:]]
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *small, "--json")
    assert result.exit_code == 143, result.stderr
    assert "streamcam: stopped by SIGTERM; no frame was written" in result.stderr or (tmp_path / "out.mp4").exists()
    assert json.loads(one_line(result.stdout))["interrupted"]


def test_a_failed_run_prints_its_object(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    result = cli("process", clip, "-o", out, *SMALL, "--json")
    assert result.exit_code == 1
    error = one_line(result.stderr).removeprefix("streamcam: ").strip()
    assert json.loads(one_line(result.stdout)) == {"input": str(clip), "output": str(out), "error": error}
    result = cli("layers", "nosuch", "--json")
    assert result.exit_code == 1
    assert "nosuch" in json.loads(one_line(result.stdout))["error"]


SIGNAL_AT = """
import os, sys
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number:d})
sys.meta_path.insert(0, Sender())
sys.argv = ["streamcam", *{arguments!r}]
from streamcam.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("streamcam.cli.app", signal.SIGINT),
        ("typer", signal.SIGTERM),
        ("streamcam.pipeline", signal.SIGHUP),
        ("tensorflow", signal.SIGINT),
        ("tensorflow", signal.SIGTERM),
    ],
)
def test_a_signal_during_an_import_is_one_line(clip: Path, tmp_path: Path, module: str, number: signal.Signals) -> None:
    arguments = ["process", str(clip), "-o", str(tmp_path / "out.mp4"), *SMALL, "--json"]
    code = SIGNAL_AT.format(module=module, number=number, arguments=arguments)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == CODES[number], run.stderr
    is_known = module in ("streamcam.pipeline", "tensorflow")
    done = "; no frame was written" if module == "tensorflow" else ""
    assert run.stderr == f"streamcam: {WORDS[number]}{done}\n"
    assert bool(run.stdout) == is_known
    if is_known:
        assert json.loads(one_line(run.stdout))["interrupted"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("module", ["logging", "typing", "contextlib"])
def test_the_handlers_come_before_imports_that_take_milliseconds(module: str) -> None:
    code = SIGNAL_AT.format(module=module, number=signal.SIGTERM, arguments=["process", "x.mp4"])
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    run = subprocess.run(  # -S: site of an editable installation imports them by itself
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert (run.returncode, run.stderr) == (143, "streamcam: stopped by SIGTERM\n")


@pytest.mark.slow
def test_a_service_that_still_loads_ends_well_by_sigterm() -> None:
    code = SIGNAL_AT.format(module="typer", number=signal.SIGTERM, arguments=["live", "lavfi:testsrc2"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stderr) == (0, "streamcam: stopped by SIGTERM\n")


@pytest.mark.slow
class TestBatch:
    """Several inputs: their process may end, and the rest goes on."""

    def test_an_input_that_ends_the_process_takes_no_other_with_it(self, clip: Path, tmp_path: Path) -> None:
        names = ["a.mp4", "abort.mp4", "b.mp4", "c.mp4"]
        for name in names:
            (tmp_path / name).write_bytes(clip.read_bytes())
        small = ["--model", "tests.cli.stopping:aborts_on_some_inputs", *SMALL[2:]]
        result = cli("process", *(tmp_path / name for name in names), "-o", f"{tmp_path}/out/", *small, "--json")
        assert result.exit_code == 1
        report = json.loads(one_line(result.stdout))
        assert [Path(done["output"]).name for done in report["results"]] == [f"{n}.gradcam.mp4" for n in "abc"]
        assert [failed["input"] for failed in report["failed"]] == [str(tmp_path / "abort.mp4")]
        assert "was ended by SIGABRT" in report["failed"][0]["error"]
        assert [len(frame_times(tmp_path / f"out/{n}.gradcam.mp4")) for n in "abc"] == [50] * 3

    def test_of_several_in_progress_only_the_one_to_blame_fails(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CRASH_MARKER", str(tmp_path / "crashed"))
        names = ["a.mp4", "b.mp4", "abort.mp4"]
        for name in names:
            (tmp_path / name).write_bytes(clip.read_bytes())
        small = ["--model", "tests.cli.stopping:aborts_beside_others", *SMALL[2:]]
        inputs = [tmp_path / name for name in names]
        result = cli("process", *inputs, "-o", f"{tmp_path}/out/", *small, "--json")
        assert result.exit_code == 1
        report = json.loads(one_line(result.stdout))
        assert [Path(done["output"]).name for done in report["results"]] == [f"{n}.gradcam.mp4" for n in "ab"]
        assert [failed["input"] for failed in report["failed"]] == [str(tmp_path / "abort.mp4")]
        assert "was ended by SIGABRT" in report["failed"][0]["error"]
        assert "a.mp4, b.mp4, abort.mp4: again, one at a time" in result.stderr
        outputs = [tmp_path / f"out/{n}.gradcam.mp4" for n in "ab"]
        assert [len(frame_times(path)) for path in outputs] == [50] * 2
        assert len({path.read_bytes() for path in outputs}) == 1
