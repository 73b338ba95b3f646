"""Wheels hold what the program opens at run time, and one wheel serves all Pythons."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import streamcam

ROOT = Path(__file__).parents[1]
LIBRARY = "streamcam/compose/_blend.so"

DRAW = """
import numpy as np
from streamcam.compose import native

blend = native.native_blend(np.array([[256, 0, 0, 0], [128, 50 << 8, 60 << 8, 70 << 8]], np.uint16), 0)
planes = tuple(np.full(shape, 200, np.uint8) for shape in ((4, 6), (2, 3), (2, 3)))
blend(np.array([[0, 1, 0], [1, 0, 1]], np.int16), planes)
print(native.__file__, *(int(plane.sum()) for plane in planes))
"""
LOAD = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
print(ctypes.c_int.in_dll(library, "streamcam_blend_version").value, bool(library.streamcam_blend_8))
"""


def run(*command: str | Path, **environment: str) -> str:
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=os.environ | environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def compiled_sources() -> set[Path]:
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    return {ROOT / source for module in modules for source in module["sources"]}


def test_every_data_file_is_packaged() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["streamcam"]
    sources = compiled_sources()
    assert all(source.is_file() for source in sources)
    package = ROOT / "streamcam"
    code = (".py", ".pyc", *EXTENSION_SUFFIXES)
    data = [p.relative_to(package) for p in package.rglob("*") if p.is_file() and not p.name.endswith(code)]
    assert len(data) >= 5
    unpackaged = [p for p in data if not any(fnmatch.fnmatch(str(p), pattern) for pattern in patterns)]
    assert [p for p in unpackaged if package / p not in sources] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built by this Python from a copy of the sources, so that no earlier build is in it."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    sources, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    without = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(ROOT / "streamcam", sources / "streamcam", ignore=without)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *options, sources)
    (path,) = folder.iterdir()
    return path


@pytest.mark.slow
def test_a_wheel_is_for_all_pythons_of_one_platform(wheel: Path) -> None:
    name, version, python, abi, platform = wheel.stem.split("-")
    assert (name, version, python, abi) == ("streamcam", streamcam.__version__, "py3", "none")
    assert platform != "any"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        tags = archive.read(f"streamcam-{version}.dist-info/WHEEL").decode().splitlines()
    assert [name for name in names if name.endswith((".so", ".pyd"))] == [LIBRARY]
    assert f"Tag: py3-none-{platform}" in tags
    assert "Root-Is-Purelib: false" in tags


@pytest.mark.slow
def test_an_installed_wheel_draws_with_the_compiled_library(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path, wheel)
    place, *sums = run(sys.executable, "-P", "-c", DRAW, PYTHONPATH=str(tmp_path)).split()
    assert Path(place).is_relative_to(tmp_path)
    # Half of the blocks keep 200; the others become 200 / 2 plus what is added.
    assert [int(value) for value in sums] == [12 * 200 + 12 * 150, 3 * 200 + 3 * 160, 3 * 200 + 3 * 170]


@pytest.mark.slow
@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_each_python_loads_the_library(wheel: Path, tmp_path: Path, python: str) -> None:
    if shutil.which(python) is None or subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip(f"no {python}")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.extract(LIBRARY, tmp_path)
    assert run(python, "-c", LOAD, library) == "1 True"
