"""The self-test of the GPU pipeline, emulated on the CPU: what it finds, and that it runs once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam import gpu
from streamcam.errors import DeviceError, OutOfMemoryError, SinkError
from streamcam.gpu import selftest as check
from streamcam.gpu.__main__ import main

pytestmark = pytest.mark.gpu


def test_the_self_test_passes_with_the_cpu_as_gpu(emulated_gpu: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("broken", "says"),
    [("scaler", "scaled differently"), ("renderer", "only .* dB like"), ("taker", "scaled differently")],
)
def test_the_trial_finds_what_is_wrong(
    emulated_gpu: None, monkeypatch: pytest.MonkeyPatch, broken: str, says: str
) -> None:
    if broken == "scaler":
        monkeypatch.setattr(check, "GpuResizer", lambda *_: lambda frame: np.zeros((224, 224, 3), np.uint8))
    elif broken == "renderer":
        renderer = check.GpuRenderer

        class Late(renderer):
            def draw(self, item: Any) -> Any:
                before = getattr(self, "before", item)
                self.before = item
                return super().draw(before)

        monkeypatch.setattr(check, "GpuRenderer", Late)
    else:
        # A decoder that overwrites a frame before it was copied.
        monkeypatch.setattr(check, "SurfaceCopier", lambda device: lambda frames: [list(frames)[-1]] * 60)
    with pytest.raises(DeviceError, match=says):
        check.check("cpu")


def test_a_trial_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def python(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return str(path)

    for script, expected in (
        ("exit 0", ("", True)),
        ("echo one; echo two; exit 1", ("two", True)),
        ("echo busy; exit 3", ("busy", False)),
        ("kill -ABRT $$", ("the self-test exited with -6", True)),
    ):
        monkeypatch.setattr(check.sys, "executable", python(script))
        assert check.run_selftest() == expected
    monkeypatch.setattr(check.sys, "executable", str(tmp_path / "nothing"))
    reason, is_lasting = check.run_selftest()
    assert "the self-test failed" in reason
    assert not is_lasting


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeviceError("frame 3 differs"), 1),
        (OutOfMemoryError("full"), 3),
        (SinkError("no encoder is free"), 3),
        (ValueError("odd"), 3),
    ],
)
def test_a_trial_prints_what_is_wrong(
    emulated_gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def fails(device: str) -> None:
        raise error

    monkeypatch.setattr("streamcam.gpu.__main__.check", fails)
    assert main() == code
    assert capsys.readouterr().out == f"{error}\n"


def test_a_trial_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[tuple[str, bool]] = []

    def run_trial() -> tuple[str, bool]:
        made.append(outcome)
        return outcome

    def ask(*, in_new_process: bool = True, **how: bool) -> str:
        if in_new_process:
            monkeypatch.setattr(gpu, "_results", {})
        return gpu._selftest_result(**how)

    monkeypatch.setenv("STREAMCAM_CACHE", str(tmp_path))
    monkeypatch.setattr(check, "run_selftest", run_trial)
    outcome = ("busy", False)
    assert [ask(), ask(in_new_process=False), ask()] == ["busy"] * 3
    assert len(made) == 2
    outcome = ("no luck", True)
    assert [ask(), ask()] == ["no luck"] * 2
    assert len(made) == 3
    outcome = ("", True)
    assert [ask(), ask(rerun=True), ask()] == ["no luck", "", ""]
    assert len(made) == 4
    monkeypatch.setattr(check, "driver_version", lambda: "another")
    outcome = ("changed", True)
    assert ask() == "changed"
    monkeypatch.setenv("STREAMCAM_CACHE", "off")
    assert [ask(), ask(in_new_process=False)] == ["changed"] * 2
    assert len(made) == 6
