"""The compiled part of drawing, where there is one.

`lay.c` is built when streamcam is installed and a C compiler is there; where none is, `glaze.py` does the same, sample
for sample, in several passes of NumPy and OpenCV, which takes about twice as long.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..frames import Plane, Planes

_VERSION = 1
"""Of the functions in `lay.c`: a library that was left behind by another version of it is not called."""

Lay: TypeAlias = Callable[[Plane, Planes], None]
"""Lays levels, int16 ``(h, w)``, over the planes of as many blocks."""


def lay(looks: Plane, lowest: int) -> Lay | None:
    """The function that lays levels over pictures; None where nothing was compiled.

    Args:
        looks: what each level does to a picture, as from `glaze.paint_of_levels`.
        lowest: the level of its first line.
    """
    library = _library()
    if library is None:
        return None
    looks = np.ascontiguousarray(looks)
    word = np.dtype(f"u{looks.itemsize // 2}")
    call = getattr(library, f"streamcam_lay_{8 * word.itemsize}")
    call.restype = None
    call.argtypes = [*[ctypes.c_void_p, ctypes.c_ssize_t] * 3, ctypes.c_void_p, *[ctypes.c_ssize_t] * 2]
    call.argtypes += [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]

    def on(levels: Plane, planes: Planes) -> None:
        height, width = levels.shape
        extents = ((2 * height, 2 * width), (height, width), (height, width))
        places: list[int] = []
        for plane, extent in zip(planes, extents, strict=True):
            if plane.shape != extent or plane.dtype != word or plane.strides[1] != word.itemsize:
                raise ValueError(f"a plane is {plane.dtype} {plane.shape}; levels {levels.shape} want {word} {extent}")
            places += [plane.ctypes.data, plane.strides[0] // word.itemsize]
        if levels.dtype != np.int16 or not levels.flags.c_contiguous:
            raise ValueError(f"levels are {levels.dtype} with strides {levels.strides}; int16 without gaps is wanted")
        call(*places, levels.ctypes.data, height, width, looks.ctypes.data, lowest, len(looks) - 1)

    return on


def examine() -> dict[str, Any]:
    """How pictures are drawn on here."""
    return {"drawing": "compiled" if _library() is not None else "NumPy and OpenCV (no C compiler was there)"}


@functools.cache
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_lay{suffix}")
        try:
            library = ctypes.CDLL(str(path))
            if ctypes.c_int.in_dll(library, "streamcam_lay_version").value == _VERSION:
                return library
        except (OSError, ValueError):
            continue
    return None
