"""The CUDA context that FFmpeg and TensorFlow share.

FFmpeg would create a context of its own, whose memory TensorFlow cannot read, or claim the GPU's primary one with flags
that fail once TensorFlow runs. So FFmpeg is configured to use the current context, and during that call TensorFlow's
context, the primary one, is current.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DeviceError

CUDA_FORMAT = "cuda"
"""FFmpeg's name of the pixel format of frames in GPU memory."""

FALLBACK_HINT = "omit --decoder nvdec or --encoder nvenc"
"""Hint for users if frames cannot stay on the GPU."""

CONTEXT_OPTIONS = {"primary_ctx": "0", "current_ctx": "1"}
"""FFmpeg's options for creating a device in the current context."""


def is_emulated() -> bool:
    """Return True if the CPU emulates a GPU (for tests): frames then stay in main memory."""
    return os.environ.get("STREAMCAM_TEST_EMULATE_GPU") == "cpu"


@contextlib.contextmanager
def context(device: int = 0) -> Iterator[None]:
    """Make the primary context of a GPU the calling thread's current one.

    Args:
        device: number of the GPU, in CUDA's order.

    Raises:
        DeviceError: there is no driver, or no such GPU.
    """
    if is_emulated():
        yield
        return
    driver, primary = _primary_context(device)
    _call(driver, "cuCtxPushCurrent_v2", primary)
    try:
        yield
    finally:
        _call(driver, "cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def synchronize(device: int = 0) -> None:
    """Wait for all of FFmpeg's work on a GPU.

    TensorFlow's streams do not wait for FFmpeg's.

    Raises:
        DeviceError: the GPU failed.
    """
    if not is_emulated():
        with context(device):
            _call(_primary_context(device)[0], "cuStreamSynchronize", None)


def driver_version(version_file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Return the driver's version text, or the CUDA version it supports.

    Empty without a driver.
    """
    with contextlib.suppress(OSError):
        return version_file.read_text()
    version = ctypes.c_int()
    with contextlib.suppress(DeviceError):
        _call(_driver(), "cuDriverGetVersion", ctypes.byref(version))
    return str(version.value or "")


@functools.cache
def _driver() -> ctypes.CDLL:
    name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError as error:
        raise DeviceError(f"no NVIDIA driver ({name})", hint=FALLBACK_HINT) from error
    _call(driver, "cuInit", 0)
    return driver


@functools.cache
def _primary_context(device: int) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """Return the driver and the GPU's primary context, which is never released: TensorFlow keeps it as long."""
    driver, number, primary = _driver(), ctypes.c_int(), ctypes.c_void_p()
    _call(driver, "cuDeviceGet", ctypes.byref(number), device)
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(primary), number)
    return driver, primary


def _call(driver: ctypes.CDLL, name: str, *arguments: Any) -> None:
    status = getattr(driver, name)(*arguments)
    if status:
        raise DeviceError(f"the NVIDIA driver failed: {name} returned {status}", hint=FALLBACK_HINT)
