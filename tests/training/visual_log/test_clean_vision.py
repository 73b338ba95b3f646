"""CleanVision as an extra: its findings, and its absence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import cli, one_line

from .pipelines import photos, write_folder


def test_its_absence_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanvision", None)
    write_folder(tmp_path, photos()[:2], np.zeros(2, int))
    result = cli("inspect", tmp_path, "--cleanvision", "-q")
    assert result.exit_code == 2
    assert "pip install 'streamcam[cleanvision]'" in one_line(result.stderr)


def test_it_finds_dark_and_similar_files(tmp_path: Path) -> None:
    pytest.importorskip("cleanvision")
    from streamcam.training.visual_log.clean_vision import find_issues

    images = photos()
    images[1] = images[1] // 30
    images[2] = np.clip(images[3].astype(int) + 2, 0, 255)
    write_folder(tmp_path, images, np.zeros(len(images), int))
    found = {fault.name: fault for fault in find_issues(tmp_path)}
    assert found["dark"].count == 1
    assert "001.png" in found["dark"].words
    assert found["duplicate"].count == 2
