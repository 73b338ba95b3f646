"""Which precision the model's arithmetic runs in."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ..config import Precision
from ..errors import OptionError
from ..frames import Pixels
from ..geometry import Size
from .devices import half_precision
from .kernel import Kernel

AGREEMENT = 0.99
"""Smallest cosine between the maps of two precisions at which the faster one is taken."""


def choose_precision(
    wanted: Precision, devices: Sequence[str], start: Callable[[str], Kernel]
) -> tuple[str, list[str]]:
    """Resolves ``auto``: the half precision that the device has, where the maps agree with float32 on two photographs.

    Not for gradients to the input: backwards it takes longer (EfficientNet-Lite0, 39 against 27 CPU ms a picture). And
    not for differences of scores, of which bfloat16 keeps 8 bits. Nothing is timed: the choice is always the same.

    Args:
        wanted: the option's value.
        devices: as from `choose_devices`.
        start: makes a kernel in a precision on the first of them, for the comparison.

    Returns:
        The precision, and announcements.

    Raises:
        OptionError: a precision was asked for that the device does not have.
    """
    half = half_precision(devices)
    if wanted not in ("auto", "float32", half):
        raise OptionError(
            f"--precision {wanted} is not possible on this {devices[0].partition(':')[0]}",
            wanted="a processor with AVX512-BF16 or AMX"
            if wanted == "bfloat16"
            else "a graphics card of compute capability 7.0 or later",
            do="use --precision auto",
        )
    if wanted != "auto":
        return wanted, []
    if not half:
        return "float32", []
    kernel = start("float32")
    if kernel.plan.compares_scores:
        return "float32", [f"precision float32: scores are compared, and {half} tells them apart by 1/16 only"]
    if kernel.plan.backwards:
        return "float32", [f"precision float32: backwards through the whole network {half} takes longer"]
    exact = sampled(kernel)
    del kernel
    gc.collect()  # a graph of TensorFlow is full of cycles, and holds the weights several times over
    cosine = agreement(exact, sampled(start(half)))
    if cosine >= AGREEMENT:
        return half, [f"precision {half}: its maps agree with float32 (cosine {cosine:.4f})"]
    return "float32", [f"precision float32: the maps in {half} differ (cosine {cosine:.4f}, wanted {AGREEMENT})"]


def sampled(kernel: Kernel) -> NDArray[np.float32]:
    """What a kernel makes of the probe photographs; of methods of many passes a few."""
    return kernel.sample(probes(kernel.size)[: kernel.batch])


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The smallest cosine between what two kernels have `sampled`; 1 where both are zero."""
    return min(cosine(first, second) for first, second in zip(one, other, strict=True))


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
