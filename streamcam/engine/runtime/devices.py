"""What there is to compute with, and in which precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import DeviceError
from ...tf import tf

_MAX_CPU_DEVICES = 64
_TENSOR_CORE_CAPABILITY = (7, 0)
"""Compute capability from which cards of Nvidia have them."""
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def virtual_cpu_count() -> int:
    """How many devices the processor is taken for: one, or what ``STREAMCAM_CPU_DEVICES`` says."""
    text = os.environ.get("STREAMCAM_CPU_DEVICES") or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_CPU_DEVICES):
        raise DeviceError(f"STREAMCAM_CPU_DEVICES is {text!r}", expected=f"a number from 1 to {_MAX_CPU_DEVICES}")
    return int(text)


def list_devices() -> list[str]:
    """Names accepted by ``--device``: ``cpu`` (``cpu:0`` … where it is taken for several), then ``gpu:0`` …"""
    cpus = virtual_cpu_count()
    return [
        *(["cpu"] if cpus == 1 else [f"cpu:{number}" for number in range(cpus)]),
        *(f"gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU")))),
    ]


def resolve_devices(option: str) -> tuple[str, ...]:
    """Device names from the option's value.

    Args:
        option: ``auto`` (the first GPU, or the CPU where there is none), ``all`` (every GPU, or every CPU device where
            there is none), or names with commas between them.

    Raises:
        DeviceError: there is no such device (lists what there is), or processor and cards are to work together.
    """
    known = list_devices()
    gpus = [name for name in known if name.startswith("gpu")]
    for gpu in tf.config.list_physical_devices("GPU"):
        # Once TensorFlow has started, growth cannot be changed any more, and need not be.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    requested = option.lower().replace(" ", "")
    if requested == "auto":
        return ((gpus or known)[0],)
    if requested == "all":
        return tuple(gpus or known)
    chosen = []
    for name in requested.split(","):
        full = next((one for one in (name, f"{name}:0", name.removesuffix(":0")) if one in known), None)
        if full is None:
            raise DeviceError(
                f"--device {name!r} is not on this machine", expected=f"auto, all or one or more of {', '.join(known)}"
            )
        chosen.append(full)
    if len({name.partition(":")[0] for name in chosen}) > 1:
        raise DeviceError(
            f"--device {option} mixes processor and graphics cards, whose maps would differ",
            expected="one kind of device",
        )
    return tuple(dict.fromkeys(chosen))


def default_intra_op_threads() -> int:
    """Threads of the model on a processor: half of the cores, for decoder and encoder have the others.

    Two cores, EfficientNet-Lite0, batch 16: 13.0 CPU ms a frame on one thread, 14.7 on two, which the road has no
    use for. What the user has told TensorFlow counts.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(tf.config.threading.get_intra_op_parallelism_threads()) or max(1, cores // 2)


def device_names() -> dict[str, str]:
    """What each of `list_devices` is, in its maker's words; empty where TensorFlow does not know."""
    gpus = tf.config.list_physical_devices("GPU")
    product_names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", "")) for gpu in gpus]
    return {name: product_names[int(name[4:])] if name.startswith("gpu:") else "" for name in list_devices()}


def peak_memory_bytes(device: str) -> int | None:
    """Most bytes that TensorFlow has held on a GPU, or on several joined by commas; None for processors."""
    gpus = [name for name in device.split(",") if name.startswith("gpu:")]
    if not gpus:
        return None
    return sum(int(tf.config.experimental.get_memory_info(name.upper())["peak"]) for name in gpus)


def limit_intra_op_threads() -> None:
    """Gives TensorFlow `default_intra_op_threads`, where it does not run yet: its threads are made once for all sessions."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(default_intra_op_threads())


def tensorflow_name(device: str) -> str:
    """``gpu:0`` as TensorFlow spells it."""
    kind, _, number = device.partition(":")
    return f"/job:localhost/replica:0/task:0/device:{kind.upper()}:{number or 0}"


def half_precision(devices: Sequence[str]) -> str:
    """The precision of 16 bits that all of some devices of one kind multiply in hardware; empty where there is none."""
    found = {_half_precision(device) for device in devices}
    return found.pop() if len(found) == 1 else ""


def _half_precision(device: str) -> str:
    if device.startswith("cpu"):
        return "bfloat16" if cpu_has_bfloat16() else ""
    gpu = tf.config.list_physical_devices("GPU")[int(device.partition(":")[2])]
    capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return "float16" if capability >= _TENSOR_CORE_CAPABILITY else ""


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True where the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX); False where nobody says."""
    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
