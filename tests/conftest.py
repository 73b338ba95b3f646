"""Clips shared by the tests; `tests.media_helpers` makes special ones."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from .media_helpers import gradient_frame, write_clip

# What a run before this one has kept must not decide what the tests see.
_CACHE = tempfile.TemporaryDirectory(prefix="streamcam-tests-")
os.environ["STREAMCAM_CACHE"] = _CACHE.name


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 160×96 at 25 fps with AAC sound, as MP4."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, [gradient_frame(160, 96, i) for i in range(50)], audio=True)


LONGEST_FILES = (
    "tests/methods/test_contract.py",
    "tests/bench/test_run.py",
    "tests/docs/test_blocks.py",
    "tests/cli/test_live_process.py",
    "tests/cli/test_live.py",
    "tests/cli/test_endings.py",
    "tests/gpu/test_gpu_pipeline.py",
    "tests/engine/test_compile_cache.py",
    "tests/live/test_live_pipeline.py",
    "tests/live/test_live_controls.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: a worker takes whole files, and the other would wait for a long one at the end."""
    order = {name: place for place, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.location[0], len(order)))
