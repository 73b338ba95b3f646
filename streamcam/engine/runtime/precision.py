"""Choose the precision of the model's arithmetic."""

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
from .timing import MIN_SPEEDUP, seconds_per_image

MIN_AGREEMENT = 0.99
"""Smallest cosine between the maps of two precisions at which the faster one is used."""


def choose_precision(
    requested: Precision, devices: Sequence[str], load: Callable[[str], Executable]
) -> tuple[str, list[str]]:
    """Resolve ``auto``: the device's half precision if its maps agree with float32 on two photographs.

    Differences of scores stay in float32: bfloat16 keeps 8 bits of them. On a CPU so do input gradients, for in half
    precision the backward pass takes longer (EfficientNet-Lite0, 39 against 27 CPU ms per image), and the choice does
    not depend on timing, so that it is reproducible. On a GPU half precision must also be measured to be faster: an
    H100 explains 4,354 images a second in float16 and 5,513 in float32 (EfficientNet-Lite0, batch 16, without XLA).

    Args:
        requested: value of ``--precision``.
        devices: as from `resolve_devices`.
        load: loads the method in a precision on the first device, for the comparison.

    Returns:
        The precision, and notes for the user.

    Raises:
        OptionError: the devices do not support the requested precision.
    """
    half = half_precision(devices)
    if requested not in ("auto", "float32", half):
        raise OptionError(
            f"--precision {requested} is not supported on this {devices[0].partition(':')[0].upper()}",
            expected="a CPU with AVX512-BF16 or AMX"
            if requested == "bfloat16"
            else "a GPU of compute capability 7.0 or later",
            hint="use --precision auto",
        )
    if requested != "auto":
        return requested, []
    if not half:
        return "float32", []
    executable = load("float32")
    if executable.method.is_score_difference:
        return "float32", [f"precision float32: the method compares scores, and {half} resolves them to 1/16 only"]
    on_cpu = devices[0].startswith("cpu")
    if executable.method.needs_input_gradient and on_cpu:
        return "float32", [f"precision float32: {half} is slower for gradients through the whole network"]
    exact = probe_outputs(executable)
    exact_seconds = 0.0 if on_cpu else seconds_per_image(executable, few_passes=True)
    del executable
    gc.collect()  # a TensorFlow graph has reference cycles, and holds several copies of the weights
    executable = load(half)
    cosine = agreement(exact, probe_outputs(executable))
    if not cosine >= MIN_AGREEMENT:
        return "float32", [
            f"precision float32: the maps in {half} differ (cosine {cosine:.4f}, expected {MIN_AGREEMENT})"
        ]
    if on_cpu:
        return half, [f"precision {half}: maps agree with float32 (cosine {cosine:.4f})"]
    speedup = exact_seconds / seconds_per_image(executable, few_passes=True)
    chosen = half if speedup >= MIN_SPEEDUP else "float32"
    return chosen, [f"precision {chosen}: {half} is {speedup:.2f} times as fast (cosine {cosine:.4f})"]


def probe_outputs(executable: Executable) -> NDArray[np.float32]:
    """Return the maps of the probe photographs; a few passes only for multi-pass methods."""
    return executable.sample(load_probe_images(executable.size)[: executable.batch])


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the smallest cosine between two results of `probe_outputs`; 1 if both are zero."""
    return min(cosine(first, second) for first, second in zip(one, other, strict=True))


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine between two maps of the same shape: 1 for two zero maps, 0 for one."""
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if lengths == 0:
        return float(np.array_equal(one, other))
    return float(np.vdot(one, other)) / lengths


def load_probe_images(size: Size) -> RgbImage:
    """Load two photographs at the size of a model input, ``uint8 (2, height, width, 3)`` RGB.

    Args:
        size: ``(width, height)``.
    """
    with files("streamcam.engine").joinpath("data/probes.npz").open("rb") as file, np.load(file) as data:
        images: RgbImage = data["images"]
    rows = np.arange(size[1]) * images.shape[1] // size[1]
    columns = np.arange(size[0]) * images.shape[2] // size[0]
    return images[:, rows[:, None], columns]
