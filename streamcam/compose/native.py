"""The compiled part of drawing, if it was built.

`blend.c` is built when streamcam is installed, if a C compiler is available. Without it `overlay.py` computes the same
samples in several passes of NumPy and OpenCV, which takes about twice as long.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..media.planes import Plane, Planes

_VERSION = 1
"""Version of the functions in `blend.c`: a library built from another version is not called."""

BlendFunction: TypeAlias = Callable[[Plane, Planes], None]
"""Type of the function that blends levels, int16 ``(h, w)``, into the planes of as many blocks."""


def native_blend(blend_table: Plane, lowest_level: int) -> BlendFunction | None:
    """Return the compiled function that blends levels into images.

    None if nothing was compiled.

    Args:
        blend_table: color and opacity of each level, as from `overlay.make_blend_table`.
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
                raise ValueError(
                    f"invalid plane: {plane.dtype} {plane.shape}; expected {dtype} {extent} for levels {levels.shape}"
                )
            plane_arguments += [plane.ctypes.data, plane.strides[0] // dtype.itemsize]
        if levels.dtype != np.int16 or not levels.flags.c_contiguous:
            raise ValueError(f"invalid levels: {levels.dtype} with strides {levels.strides}; expected contiguous int16")
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
    """Return how images are drawn here."""
    return {
        "drawing": "compiled" if _load_library() is not None else "NumPy and OpenCV (installed without a C compiler)"
    }


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
