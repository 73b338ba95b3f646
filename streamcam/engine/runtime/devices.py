"""Devices of this machine, their precisions and threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ...concurrency.cpus import cpu_count
from ...errors import DeviceError
from ...tf import tf

_MAX_CPU_DEVICES = 64
_TENSOR_CORE_CAPABILITY = (7, 0)
"""Compute capability from which NVIDIA GPUs have tensor cores."""
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def virtual_cpu_count() -> int:
    """Return the number of virtual CPU devices: 1, or the value of ``STREAMCAM_CPU_DEVICES``.

    Raises:
        DeviceError: the variable is invalid.
    """
    text = os.environ.get("STREAMCAM_CPU_DEVICES") or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_CPU_DEVICES):
        raise DeviceError(f"invalid STREAMCAM_CPU_DEVICES={text!r}", expected=f"a number from 1 to {_MAX_CPU_DEVICES}")
    return int(text)


def list_devices() -> list[str]:
    """Return the names that ``--device`` accepts: ``cpu`` (or ``cpu:0``, ``cpu:1``, …), then ``gpu:0``, …."""
    cpus = virtual_cpu_count()
    return [
        *(["cpu"] if cpus == 1 else [f"cpu:{number}" for number in range(cpus)]),
        *(f"gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU")))),
    ]


def resolve_devices(option: str) -> tuple[str, ...]:
    """Resolve the value of ``--device`` to device names.

    Args:
        option: ``auto`` (the first GPU, or the CPU without one), ``all`` (every GPU, or every CPU device without one),
            or comma-separated names.

    Raises:
        DeviceError: unknown device (the message lists the known ones), or a mix of CPU and GPU.
    """
    known = list_devices()
    gpus = [name for name in known if name.startswith("gpu")]
    for gpu in tf.config.list_physical_devices("GPU"):
        # After TensorFlow has started, memory growth can no longer be set, and is set already.
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
            raise DeviceError(f"unknown --device {name!r}", expected=f"auto, all or one or more of {', '.join(known)}")
        chosen.append(full)
    if len({name.partition(":")[0] for name in chosen}) > 1:
        raise DeviceError(
            f"invalid --device {option}: it mixes CPU and GPU, whose maps would differ", expected="one kind of device"
        )
    return tuple(dict.fromkeys(chosen))


def default_intra_op_threads() -> int:
    """Return the number of model threads on a CPU: half of the cores, the others are for decoder and encoder.

    Two cores, EfficientNet-Lite0, batch 16: 13.0 CPU ms per frame on one thread, 14.7 on two, without a gain for the
    pipeline. A value that the user has set in TensorFlow wins.
    """
    return int(tf.config.threading.get_intra_op_parallelism_threads()) or max(1, cpu_count() // 2)


def device_names() -> dict[str, str]:
    """Return the product name of each of `list_devices`; empty if TensorFlow does not know it."""
    gpus = tf.config.list_physical_devices("GPU")
    product_names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", "")) for gpu in gpus]
    return {name: product_names[int(name[4:])] if name.startswith("gpu:") else "" for name in list_devices()}


def peak_memory_bytes(device: str) -> int | None:
    """Return TensorFlow's peak memory on a GPU, or the sum over several; None for CPUs.

    Args:
        device: a device name, or several joined by commas.
    """
    gpus = [name for name in device.split(",") if name.startswith("gpu:")]
    if not gpus:
        return None
    return sum(int(tf.config.experimental.get_memory_info(name.upper())["peak"]) for name in gpus)


def limit_intra_op_threads() -> None:
    """Set TensorFlow's threads to `default_intra_op_threads`; no effect after TensorFlow has started its threads."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(default_intra_op_threads())


def tensorflow_name(device: str) -> str:
    """Return TensorFlow's full name of a device such as ``gpu:0``."""
    kind, _, number = device.partition(":")
    return f"/job:localhost/replica:0/task:0/device:{kind.upper()}:{number or 0}"


def half_precision(devices: Sequence[str]) -> str:
    """Return the 16-bit precision that all of the devices multiply in hardware; empty if there is none."""
    found = {_half_precision(device) for device in devices}
    return found.pop() if len(found) == 1 else ""


def _half_precision(device: str) -> str:
    if device.startswith("cpu"):
        return "bfloat16" if cpu_has_bfloat16() else ""
    gpu = tf.config.list_physical_devices("GPU")[int(device.partition(":")[2])]
    capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return "float16" if capability >= _TENSOR_CORE_CAPABILITY else ""


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return True if the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); False if unknown.

    Args:
        cpuinfo: the file in which Linux lists the CPU flags.
    """
    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
