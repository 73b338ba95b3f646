"""Choose precision and batch by comparing and measuring."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Sequence

from ...errors import OutOfMemoryError
from ...options import Precision
from ..compiled_method import FrozenMethod
from .compile_cache import TunedMethod
from .precision import choose_precision
from .timing import MIN_SPEEDUP, seconds_per_image

DEFAULT_BATCH = 8
"""As fast as 16 on a CPU (13.0 CPU ms a frame either way, EfficientNet-Lite0), with 140 MiB less peak memory."""

AUTO_BATCH = 0
"""Stands for the fastest batch."""

_CPU_BATCHES, _GPU_BATCHES = (4, 8, 16), (8, 16, 32, 64, 128)


def autotune(
    compile_method: Callable[[int], FrozenMethod], batch: int, *, requested: Precision, devices: Sequence[str]
) -> TunedMethod:
    """Compile a method and choose how it runs.

    Args:
        compile_method: compiles the method for a batch; takes seconds.
        batch: frames a run; `AUTO_BATCH` tries several.
        requested: precision, as the option's value.
        devices: as from `resolve_devices`; the first one is measured for all.

    Raises:
        OptionError: the device does not have the requested precision.
        LayerError, MethodError, ModelError: as `compile_method`.
    """
    device = devices[0]
    on_cpu = device.startswith("cpu")
    first = compile_method(batch or DEFAULT_BATCH)

    def rewrite(method: FrozenMethod, precision: str) -> FrozenMethod:
        return method.rewrite(precision) if on_cpu else method

    first_rewritten = functools.cache(functools.partial(rewrite, first))
    if first.native_precision and requested == "auto":
        requested = "float32"
    precision, notes = choose_precision(
        requested, devices, lambda precision: first_rewritten(precision).load(device, precision)
    )
    if first.native_precision:
        notes = [*notes, f"precision {first.native_precision}: the model's own, and its layers keep theirs"]
    method = first_rewritten(precision)
    if batch == AUTO_BATCH and first.passes is None:
        method, note = _find_fastest_batch(
            method, lambda size: rewrite(compile_method(size), precision), precision, device
        )
        notes = [*notes, note]
    gc.collect()  # see `choose_precision`
    return TunedMethod(method, precision, tuple(notes))


def _find_fastest_batch(
    first: FrozenMethod, compile_method: Callable[[int], FrozenMethod], precision: str, device: str
) -> tuple[FrozenMethod, str]:
    """Return the method with the fastest batch, and a note."""
    best, best_seconds = first, seconds_per_image(first.load(device, precision))
    sizes = _CPU_BATCHES if device.startswith("cpu") else _GPU_BATCHES
    for size in (size for size in sizes if size != first.batch):
        other = compile_method(size)
        try:
            other_seconds = seconds_per_image(other.load(device, precision))
        except OutOfMemoryError:
            break
        larger = other.batch > best.batch
        if other_seconds * (MIN_SPEEDUP if larger else 1 / MIN_SPEEDUP) < best_seconds:
            best, best_seconds = other, other_seconds
        elif larger:
            break
    return best, f"batch {best.batch}: the fastest of those measured"
