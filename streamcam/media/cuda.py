"""The one CUDA context of a graphics card in which FFmpeg and TensorFlow meet.

FFmpeg would make a context of its own, whose memory TensorFlow cannot read, or claim the card's primary one with flags
that fail once TensorFlow runs. So it is told to take the context that is current, and while it looks that is the
primary one, which is TensorFlow's.
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

ON_CARD = "cuda"
"""Pixel format, as FFmpeg calls it, of pictures in a card's memory."""

FALLBACK_HINT = "leave --decoder nvdec or --encoder nvenc out"
"""What users can do where frames cannot stay on a card."""

CONTEXT_OPTIONS = {"primary_ctx": "0", "current_ctx": "1"}
"""What FFmpeg is told when it makes a device: to take the current context."""


def is_emulated() -> bool:
    """True where the processor stands in for a card: frames then stay in the processor's memory (for tests)."""
    return os.environ.get("STREAMCAM_TEST_EMULATE_GPU") == "cpu"


@contextlib.contextmanager
def context(device: int = 0) -> Iterator[None]:
    """Makes the primary context of a card the calling thread's current one.

    Args:
        device: number of the card, as CUDA counts.

    Raises:
        DeviceError: there is no driver, or no such card.
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
    """Waits until all that FFmpeg has begun on a card is done; TensorFlow's streams do not wait for FFmpeg's.

    Raises:
        DeviceError: the card failed.
    """
    if not is_emulated():
        with context(device):
            _call(_primary_context(device)[0], "cuStreamSynchronize", None)


def driver_version(version_file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """What the driver says of itself, or the version of CUDA that it knows; empty without one."""
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
        raise DeviceError(f"there is no driver of Nvidia ({name})", hint=FALLBACK_HINT) from error
    _call(driver, "cuInit", 0)
    return driver


@functools.cache
def _primary_context(device: int) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """The driver, and the card's primary context, which is never given back: TensorFlow keeps it as long."""
    driver, number, primary = _driver(), ctypes.c_int(), ctypes.c_void_p()
    _call(driver, "cuDeviceGet", ctypes.byref(number), device)
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(primary), number)
    return driver, primary


def _call(driver: ctypes.CDLL, name: str, *arguments: Any) -> None:
    status = getattr(driver, name)(*arguments)
    if status:
        raise DeviceError(f"the driver of Nvidia failed: {name} gave {status}", hint=FALLBACK_HINT)
