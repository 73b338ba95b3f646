"""The compiled part of drawing, where there is one.

`blend.c` is built when streamcam is installed and a C compiler is there; where none is, `overlay.py` does the same, sample
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
"""Of the functions in `blend.c`: a library that was left behind by another version of it is not called."""

BlendFunction: TypeAlias = Callable[[Plane, Planes], None]
"""Lays levels, int16 ``(h, w)``, over the planes of as many blocks."""


def native_blend(blend_table: Plane, lowest_level: int) -> BlendFunction | None:
    """The function that lays levels over pictures; None where nothing was compiled.

    Args:
        blend_table: what each level does to a picture, as from `glaze.paint_of_levels`.
        lowest_level: the level of its first line.
    """
    library = _load_library()
    if library is None:
        return None
    blend_table = np.ascontiguousarray(blend_table)
    dtype = np.dtype(f"u{blend_table.itemsize // 2}")
    native_function = getattr(library, f"streamcam_blend_{8 * dtype.itemsize}")
    native_function.restype = None
    native_function.argtypes = [*[ctypes.c_void_p, ctypes.c_ssize_t] * 3, ctypes.c_void_p, *[ctypes.c_ssize_t] * 2]
    native_function.argtypes += [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]

    def blend(levels: Plane, planes: Planes) -> None:
        height, width = levels.shape
        extents = ((2 * height, 2 * width), (height, width), (height, width))
        plane_arguments: list[int] = []
        for plane, extent in zip(planes, extents, strict=True):
            if plane.shape != extent or plane.dtype != dtype or plane.strides[1] != dtype.itemsize:
                raise ValueError(f"a plane is {plane.dtype} {plane.shape}; levels {levels.shape} want {dtype} {extent}")
            plane_arguments += [plane.ctypes.data, plane.strides[0] // dtype.itemsize]
        if levels.dtype != np.int16 or not levels.flags.c_contiguous:
            raise ValueError(f"levels are {levels.dtype} with strides {levels.strides}; int16 without gaps is wanted")
        native_function(
            *plane_arguments,
            levels.ctypes.data,
            height,
            width,
            blend_table.ctypes.data,
            lowest_level,
            len(blend_table) - 1,
        )

    return blend


def report_environment() -> dict[str, Any]:
    """How pictures are drawn on here."""
    return {"drawing": "compiled" if _load_library() is not None else "NumPy and OpenCV (no C compiler was there)"}


@functools.cache
def _load_library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_blend{suffix}")
        try:
            library = ctypes.CDLL(str(path))
            if ctypes.c_int.in_dll(library, "streamcam_blend_version").value == _VERSION:
                return library
        except (OSError, ValueError):
            continue
    return None
