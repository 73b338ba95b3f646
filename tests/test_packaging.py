"""What the program opens at run time must be in the wheel."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_data_file_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["streamcam"]
    package = ROOT / "streamcam"
    data = [p.relative_to(package) for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert len(data) >= 5
    assert [str(p) for p in data if not any(fnmatch.fnmatch(str(p), pattern) for pattern in settings)] == []
