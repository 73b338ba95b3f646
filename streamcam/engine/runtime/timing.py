"""Time executables."""

from __future__ import annotations

import time

import numpy as np

from ..compiled_method import Executable

MIN_SPEEDUP = 1.05
"""Speedup from which a choice with a cost of its own is taken: a larger batch, less precision, XLA."""

_TIMED_RUNS = 3


def seconds_per_image(executable: Executable, *, few_passes: bool = False) -> float:
    """Return the shortest of a few runs after the first; ``few_passes`` as for `seconds_in_turns`."""
    return seconds_in_turns(executable, few_passes=few_passes)[0]


def seconds_in_turns(*executables: Executable, few_passes: bool = False) -> tuple[float, ...]:
    """Return `seconds_per_image` of each; they take turns, so that other work slows all alike.

    Args:
        *executables: what to time.
        few_passes: of methods of many passes run only those that `Executable.sample` does.
    """
    shortest = [float("inf")] * len(executables)
    for run in range(1 + _TIMED_RUNS):
        for n, executable in enumerate(executables):
            width, height = executable.size
            images = np.random.default_rng(0).integers(0, 256, (executable.batch, height, width, 3), np.uint8)
            started = time.perf_counter()
            executable.sample(images) if few_passes else executable(images)
            if run > 0:
                shortest[n] = min(shortest[n], (time.perf_counter() - started) / executable.batch)
    return tuple(shortest)
