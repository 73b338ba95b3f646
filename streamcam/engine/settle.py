"""What is chosen by comparing or measuring before a kernel runs: precision, batch, XLA."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Sequence

import numpy as np

from ..config import Precision
from ..errors import OutOfMemoryError
from .kernel import Kernel, Plan
from .precision import AGREEMENT, agreement, choose_precision, sampled
from .store import Settled

DEFAULT_BATCH = 8
"""As fast as 16 on a processor (13.0 CPU ms a frame either way, EfficientNet-Lite0), with 140 MiB less at the peak."""

SWEEP = 0
"""Stands for the batch that is fastest."""

_ON_PROCESSOR, _ON_CARD = (4, 8, 16), (8, 16, 32, 64, 128)
_RUNS = 3
_ENOUGH = 1.05
"""A larger batch has to be faster by this factor: it costs memory and keeps frames waiting."""


def settle(plan: Callable[[int], Plan], batch: int, *, wanted: Precision, devices: Sequence[str]) -> Settled:
    """Makes the choices for a model, a method, a size and a device.

    Args:
        plan: makes a plan for a batch; takes seconds.
        batch: frames a run; `SWEEP` tries several.
        wanted: precision, as the option's value.
        devices: as from `choose_devices`; the first one is measured for all.

    Raises:
        OptionError: a precision was asked for that the device does not have.
        LayerError, MethodError, ModelError: as `plan_kernel`.
    """
    device = devices[0]
    on_processor = device.startswith("cpu")
    first = plan(batch or DEFAULT_BATCH)

    def ready(made: Plan, precision: str) -> Plan:
        return made.rewrite(precision) if on_processor else made

    first_in = functools.cache(functools.partial(ready, first))
    if first.own and wanted == "auto":
        wanted = "float32"
    precision, notes = choose_precision(wanted, devices, lambda precision: first_in(precision).start(device, precision))
    if first.own:
        notes = [*notes, f"precision {first.own}: the model's own, and its layers keep theirs"]
    chosen = first_in(precision)
    if batch == SWEEP and first.passes is None:
        chosen, told = _fastest(chosen, lambda size: ready(plan(size), precision), precision, device)
        notes = [*notes, told]
    xla = False
    if not on_processor and first.passes is None:
        xla, told = _faster_with_xla(chosen, precision, device)
        notes = [*notes, told]
    gc.collect()  # see `choose_precision`
    return Settled(chosen, precision, xla, tuple(notes))


def _fastest(first: Plan, plan: Callable[[int], Plan], precision: str, device: str) -> tuple[Plan, str]:
    """The plan whose batch is the fastest; and that in words."""
    best, seconds = first, seconds_a_picture(first.start(device, precision))
    sizes = _ON_PROCESSOR if device.startswith("cpu") else _ON_CARD
    for size in (size for size in sizes if size != first.batch):
        other = plan(size)
        try:
            its = seconds_a_picture(other.start(device, precision))
        except OutOfMemoryError:
            break
        larger = other.batch > best.batch
        if its * (_ENOUGH if larger else 1 / _ENOUGH) < seconds:
            best, seconds = other, its
        elif larger:
            break
    return best, f"batch {best.batch}: the fastest that was tried"


def _faster_with_xla(plan: Plan, precision: str, device: str) -> tuple[bool, str]:
    """Whether XLA is faster, and right; and that in words."""
    plain, compiled = plan.start(device, precision), plan.start(device, precision, xla=True)
    cosine = agreement(sampled(plain), sampled(compiled))
    ratio = seconds_a_picture(plain) / seconds_a_picture(compiled)
    taken = ratio > _ENOUGH and cosine >= AGREEMENT
    return taken, f"XLA {'on' if taken else 'off'}: {ratio:.2f} times as fast with it (cosine {cosine:.4f})"


def seconds_a_picture(kernel: Kernel) -> float:
    """The least of a few runs, which other work on the machine disturbs least; the first one does not count."""
    width, height = kernel.size
    pictures = np.random.default_rng(0).integers(0, 256, (kernel.batch, height, width, 3), np.uint8)
    kernel(pictures)
    taken = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        kernel(pictures)
        taken.append(time.perf_counter() - started)
    return min(taken) / kernel.batch
