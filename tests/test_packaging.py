"""What the program opens at run time must be in the wheel."""

from __future__ import annotations

import fnmatch
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_data_file_is_packaged() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = setuptools["package-data"]["streamcam"]
    compiled = {ROOT / source for module in setuptools["ext-modules"] for source in module["sources"]}
    assert all(source.is_file() for source in compiled)
    package = ROOT / "streamcam"
    code = (".py", ".pyc", *EXTENSION_SUFFIXES)
    data = [p.relative_to(package) for p in package.rglob("*") if p.is_file() and not p.name.endswith(code)]
    assert len(data) >= 5
    unpackaged = [p for p in data if not any(fnmatch.fnmatch(str(p), pattern) for pattern in patterns)]
    assert [p for p in unpackaged if package / p not in compiled] == []
