"""Tag wheels ``py3-none-<platform>``: the compiled library is loaded with ctypes and holds no Python code."""

from __future__ import annotations

import os

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class PlainLibrary(build_ext):
    """Name the library ``.so`` or ``.pyd``, without the tag of the Python that builds it."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of a library inside the package."""
        return os.path.join(*fullname.split(".")) + (".pyd" if os.name == "nt" else ".so")


class AnyPythonWheel(bdist_wheel):
    """Build one wheel a platform, which serves all Pythons."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_ext": PlainLibrary, "bdist_wheel": AnyPythonWheel})
