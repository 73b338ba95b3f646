"""What there is to compute with, and in which precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import DeviceError
from ..models.backend import tf

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def devices() -> list[str]:
    """Names accepted by ``--device``: ``cpu``, then ``gpu:0`` …"""
    return ["cpu", *(f"gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU"))))]


def choose_device(name: str) -> str:
    """A device name from the option's value; ``auto`` is the first GPU where there is one.

    Raises:
        DeviceError: there is no such device; lists what there is.
    """
    known = devices()
    wanted = known[min(1, len(known) - 1)] if name == "auto" else name.lower()
    if wanted == "gpu":
        wanted = "gpu:0"
    if wanted not in known:
        raise DeviceError(f"--device {name!r} is not on this machine", wanted=f"auto or one of {', '.join(known)}")
    for gpu in tf.config.list_physical_devices("GPU"):
        # Once TensorFlow has started, growth cannot be changed any more, and need not be.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    return wanted


def described_devices() -> dict[str, str]:
    """What each of `devices` is, in its maker's words; empty where TensorFlow does not know."""
    gpus = tf.config.list_physical_devices("GPU")
    makers = [str(tf.config.experimental.get_device_details(gpu).get("device_name", "")) for gpu in gpus]
    return {name: makers[int(name[4:])] if name.startswith("gpu:") else "" for name in devices()}


def peak_memory(device: str) -> int | None:
    """Most bytes that TensorFlow has held on a GPU, or on several joined by commas; None for processors."""
    gpus = [name for name in device.split(",") if name.startswith("gpu:")]
    if not gpus:
        return None
    return sum(int(tf.config.experimental.get_memory_info(name.upper())["peak"]) for name in gpus)


def share_the_processor() -> None:
    """Gives the model half of the cores; decoder and encoder work while it does, and have the others.

    Two cores, EfficientNet-Lite0, batch 16: 13.0 CPU ms a frame on one thread, 14.7 on two, which the road has no
    use for. Left alone where the user has chosen, or where TensorFlow runs already and it cannot be changed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        if not tf.config.threading.get_intra_op_parallelism_threads():
            tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // 2))


def tensorflow_name(device: str) -> str:
    """``gpu:0`` as TensorFlow spells it: ``/GPU:0``."""
    return f"/{device.upper()}" if ":" in device else f"/{device.upper()}:0"


def processor_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True where the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX); False where nobody says."""
    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """While active, calls of frozen functions on the CPU run in ``float32`` or, by oneDNN, in ``bfloat16``.

    TensorFlow reads the option at each call of a function, so it is set around the calls and nowhere else.
    """
    option = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    wanted = precision != "float32"
    if before == wanted:
        yield
        return
    tf.config.optimizer.set_experimental_options({option: wanted})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
