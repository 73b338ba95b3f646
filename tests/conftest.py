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
