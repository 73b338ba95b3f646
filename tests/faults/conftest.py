"""Clips and disks for faults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.clips import write_long_clip

from .harness import NUM_FRAMES

SLICE = {"test_a_signal[15-copy]"}
"""Faults of the ordinary tests; `make faults` and `make test-all` run all."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name not in SLICE:
            item.add_marker(pytest.mark.exhaustive)


@pytest.fixture(scope="session")
def fault_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_long_clip(tmp_path_factory.mktemp("faults") / "clip.mp4", NUM_FRAMES)
    path.with_name("second.mp4").write_bytes(path.read_bytes())
    return path


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, with the options of the parameter."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)
