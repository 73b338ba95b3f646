"""Which precision the model's arithmetic runs in."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...frames import RgbImage
from ...geometry import Size
from ...options import Precision
from ..compiled_method import Executable
from .devices import half_precision

MIN_AGREEMENT = 0.99
"""Smallest cosine between the maps of two precisions at which the faster one is taken."""


def choose_precision(
    requested: Precision, devices: Sequence[str], load: Callable[[str], Executable]
) -> tuple[str, list[str]]:
    """Resolves ``auto``: the half precision that the device has, where the maps agree with float32 on two photographs.

    Not for gradients to the input: backwards it takes longer (EfficientNet-Lite0, 39 against 27 CPU ms a picture). And
    not for differences of scores, of which bfloat16 keeps 8 bits. Nothing is timed: the choice is always the same.

    Args:
        requested: the option's value.
        devices: as from `resolve_devices`.
        load: makes a kernel in a precision on the first of them, for the comparison.

    Returns:
        The precision, and announcements.

    Raises:
        OptionError: a precision was asked for that the device does not have.
    """
    half = half_precision(devices)
    if requested not in ("auto", "float32", half):
        raise OptionError(
            f"--precision {requested} is not possible on this {devices[0].partition(':')[0]}",
            expected="a processor with AVX512-BF16 or AMX"
            if requested == "bfloat16"
            else "a graphics card of compute capability 7.0 or later",
            hint="use --precision auto",
        )
    if requested != "auto":
        return requested, []
    if not half:
        return "float32", []
    executable = load("float32")
    if executable.method.is_score_difference:
        return "float32", [f"precision float32: scores are compared, and {half} tells them apart by 1/16 only"]
    if executable.method.needs_input_gradient:
        return "float32", [f"precision float32: backwards through the whole network {half} takes longer"]
    exact = probe_outputs(executable)
    del executable
    gc.collect()  # a graph of TensorFlow is full of cycles, and holds the weights several times over
    cosine = agreement(exact, probe_outputs(load(half)))
    if cosine >= MIN_AGREEMENT:
        return half, [f"precision {half}: its maps agree with float32 (cosine {cosine:.4f})"]
    return "float32", [f"precision float32: the maps in {half} differ (cosine {cosine:.4f}, expected {MIN_AGREEMENT})"]


def probe_outputs(executable: Executable) -> NDArray[np.float32]:
    """What a kernel makes of the probe photographs; of methods of many passes a few."""
    return executable.sample(load_probe_images(executable.size)[: executable.batch])


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The smallest cosine between what two kernels have `probe_outputs`; 1 where both are zero."""
    return min(cosine(first, second) for first, second in zip(one, other, strict=True))


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine between two maps of one shape; two zero maps are the same, a zero and another are not."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if lengths == 0:
        return float(np.array_equal(one, other))
    return float(np.vdot(one, other)) / lengths


def load_probe_images(size: Size) -> RgbImage:
    """Two photographs at the size of a model's input, ``uint8 (2, height, width, 3)`` RGB."""
    with files("streamcam.engine").joinpath("data/probes.npz").open("rb") as file, np.load(file) as data:
        images: RgbImage = data["pictures"]
    rows = np.arange(size[1]) * images.shape[1] // size[1]
    columns = np.arange(size[0]) * images.shape[2] // size[0]
    return images[:, rows[:, None], columns]
