"""Which precision the model's arithmetic runs in."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ..config import Precision
from ..errors import OptionError
from ..frames import Pixels
from ..geometry import Size
from .devices import processor_has_bfloat16
from .kernel import Kernel

AGREEMENT = 0.99
"""Smallest cosine between the maps of two precisions at which the faster one is taken."""

_TIMES = 2


def choose_precision(wanted: Precision, device: str, build: Callable[[str], Kernel]) -> tuple[str, list[str]]:
    """Resolves ``auto``: bfloat16 where the processor has it, the maps agree with float32 on two photographs, and it is
    the faster one: backwards through a network it often is not.

    Args:
        wanted: the option's value.
        device: as from `choose_device`.
        build: makes a kernel in a precision, for the comparison.

    Returns:
        ``float32`` or ``bfloat16``, and announcements.

    Raises:
        OptionError: bfloat16 was asked for and the device does not have it.
    """
    capable = device == "cpu" and processor_has_bfloat16()
    if wanted == "bfloat16" and not capable:
        raise OptionError(
            f"--precision bfloat16 is not possible on this {device}",
            wanted="a processor with AVX512-BF16 or AMX",
            do="use --precision auto",
        )
    if wanted != "auto":
        return wanted, []
    if not capable:
        return "float32", []
    exact = build("float32")
    if exact.compares_scores:
        return "float32", ["precision float32: scores are compared, and bfloat16 tells them apart by 1/16 only"]
    fast = build("bfloat16")
    cosine = agreement(exact, fast)
    if cosine < AGREEMENT:
        return "float32", [f"precision float32: the maps in bfloat16 differ (cosine {cosine:.4f} < {AGREEMENT})"]
    ratio = cost(fast) / cost(exact)
    if ratio > 1:
        return "float32", [f"precision float32: bfloat16 takes {ratio:.1f} times as long with this method"]
    return "bfloat16", [f"precision bfloat16: its maps agree with float32 (cosine {cosine:.4f})"]


def cost(kernel: Kernel) -> float:
    """Processor seconds that something cheap takes, the least of a few times."""
    pictures = probes(kernel.size)[: kernel.batch]
    taken = []
    for _ in range(_TIMES):
        started = time.process_time()
        kernel.sample(pictures)
        taken.append(time.process_time() - started)
    return min(taken)


def agreement(one: Kernel, other: Kernel) -> float:
    """The smallest cosine between what two kernels make of the probe photographs; 1 where both are zero.

    Of methods of many passes a few are compared.
    """
    pictures = probes(one.size)[: one.batch]
    return min(
        cosine(first, second) for first, second in zip(one.sample(pictures), other.sample(pictures), strict=True)
    )


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine between two maps of one shape; two zero maps are the same, a zero and another are not."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if lengths == 0:
        return float(np.array_equal(one, other))
    return float(np.vdot(one, other)) / lengths


def probes(size: Size) -> Pixels:
    """Two photographs at the size of a model's input, ``uint8 (2, height, width, 3)`` RGB."""
    with files("streamcam.engine").joinpath("data/probes.npz").open("rb") as file, np.load(file) as data:
        pictures: Pixels = data["pictures"]
    rows = np.arange(size[1]) * pictures.shape[1] // size[1]
    columns = np.arange(size[0]) * pictures.shape[2] // size[0]
    return pictures[:, rows[:, None], columns]
