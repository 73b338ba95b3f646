"""How the whole pipeline scales with cores and devices: speed-up, efficiency and the busiest stage.

A new kind of resource, such as the nodes of a cluster, is a function in `AXES`.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..concurrency.cpus import cpu_count
from ..errors import StreamcamError
from ..notes import get_logger
from ..options import PRECISIONS
from .case import Case
from .environment import machine_info
from .matrix import BenchmarkMatrix
from .runner import run_case

logger = get_logger(__name__)

_FORMAT = 1
_BUSY_LOAD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingStep:
    """The whole pipeline on a number of cores and devices.

    Attributes:
        axis: the resource that grows: ``cores`` or ``devices``.
        count: how many of them.
        cores: CPU cores that its process may use.
        device: names of the devices, joined by commas.
        wall, cpu: seconds per frame of each repeat; empty if it failed.
        busy: the share of the time in which each stage's threads were busy, 0–1.
        speedup: times as fast as the first step of the axis, by medians; 0 if either failed.
        error: why it failed; empty if it succeeded.
    """

    axis: str
    count: int
    cores: int
    device: str
    wall: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    busy: dict[str, float] = field(default_factory=dict)
    speedup: float = 0.0
    error: str = ""

    @property
    def fps(self) -> float:
        """Frames per second, from the median."""
        return 1 / statistics.median(self.wall)

    @property
    def busy_cores(self) -> float:
        """Average number of busy cores."""
        return statistics.median(self.cpu) / statistics.median(self.wall)

    @property
    def bottleneck(self) -> str:
        """The busiest stage."""
        return max(self.busy, key=lambda stage: self.busy[stage])

    def efficiency(self, first: int) -> float:
        """Return the speed-up by the growth of the resource.

        Args:
            first: count of the first step of the axis.
        """
        return self.speedup * first / self.count

    def as_dict(self, first: int = 1) -> dict[str, Any]:
        """Return plain values for JSON; ``first`` is as for `efficiency`."""
        values = dataclasses.asdict(self)
        if self.error:
            return values
        names = ("fps", "busy_cores", "bottleneck")
        return {**values, **{name: getattr(self, name) for name in names}, "efficiency": self.efficiency(first)}


@dataclass(frozen=True, slots=True)
class ScalingResult:
    """The result of a scaling benchmark.

    Attributes:
        machine: see `streamcam.bench.environment.machine_info`.
        load: load average of the machine before it began; NaN if the system does not report it.
        software: versions.
        setting: clip, frames and options.
        steps: in order, axis by axis.
    """

    machine: dict[str, Any]
    load: float
    software: dict[str, Any]
    setting: dict[str, Any]
    steps: tuple[ScalingStep, ...]

    def first_count(self, axis: str) -> int:
        """Return the count of the first step of an axis."""
        return next(step.count for step in self.steps if step.axis == axis)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "format": _FORMAT,
            "machine": self.machine,
            "load": None if self.load != self.load else self.load,
            "software": self.software,
            "setting": self.setting,
            "scaling": [step.as_dict(self.first_count(step.axis)) for step in self.steps],
        }


def core_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4 … and the number of cores."""
    return tuple(sorted({*(2**power for power in range(cores.bit_length()) if 2**power <= cores), cores}))


def _core_steps(devices: list[str], cores: int) -> list[ScalingStep]:
    return [ScalingStep(axis="cores", count=count, cores=count, device=devices[0]) for count in core_counts(cores)]


def _device_steps(devices: list[str], cores: int) -> list[ScalingStep]:
    counts = range(1, len(devices) + 1) if len(devices) > 1 else ()
    return [ScalingStep(axis="devices", count=count, cores=cores, device=",".join(devices[:count])) for count in counts]


AXES: dict[str, Callable[[list[str], int], list[ScalingStep]]] = {"cores": _core_steps, "devices": _device_steps}
"""Resource → the steps to measure, from the devices to use and the number of cores."""


def measure_scaling(matrix: BenchmarkMatrix) -> ScalingResult:
    """Measure the pipeline on growing numbers of cores and devices; takes minutes.

    Each step runs in its own process, whose CPU affinity limits its cores. The batch is the largest of the matrix.

    Args:
        matrix: what to measure.

    Raises:
        StreamcamError: clip, model, method or an option cannot be used, or the system cannot limit cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise StreamcamError("--scaling limits the cores of a process, which this system cannot", expected="Linux")
    load = os.getloadavg()[0]
    if load > _BUSY_LOAD:
        logger.warning("this machine is busy with other work (load %.1f), which slows the results", load)
    with tempfile.TemporaryDirectory(prefix="streamcam-bench-") as folder:
        work_dir, batch = Path(folder), max(matrix.batches)
        first = "auto" if matrix.device == "all" else matrix.device.split(",")[0]
        warm_up = run_case(matrix.case("warm_up", work_dir, device=first, batch=batch))
        devices = matrix.devices(warm_up)
        steps = [step for make_steps in AXES.values() for step in make_steps(devices, cpu_count())]
        logger.info("%d steps of %d frames, 1 + %d times each", len(steps), matrix.frames, matrix.repeats)
        measured = []
        for step in steps:
            # The choice of auto takes seconds on a single core.
            known = warm_up["precision"] if step.device == warm_up["device"] else ""
            chosen = {"precision": known} if known in PRECISIONS else {}
            case = matrix.case(
                "end_to_end", work_dir, warm_up["clip"], chosen, device=step.device, batch=batch, cores=step.cores
            )
            measured.append(_measure(step, case))
            done = measured[-1]
            logger.info("%s %d: %s", step.axis, step.count, done.error or f"{done.fps:.1f} fps")
    computed = {name: warm_up[name] for name in ("size", "input", "layer", "method")}
    return ScalingResult(
        machine_info(warm_up["devices"]),
        load,
        {"streamcam": __version__, **warm_up["software"]},
        {**matrix.setting, **computed, "batch": batch},
        tuple(compare_steps(measured)),
    )


def _measure(step: ScalingStep, case: Case) -> ScalingStep:
    try:
        report = run_case(case)
    except StreamcamError as error:
        return dataclasses.replace(step, error=str(error))
    return dataclasses.replace(step, wall=tuple(report["wall"]), cpu=tuple(report["cpu"]), busy=report["busy"])


def compare_steps(steps: Iterable[ScalingStep]) -> list[ScalingStep]:
    """Return the steps with their speed-up over the first one."""
    firsts: dict[str, ScalingStep] = {}
    compared = []
    for step in steps:
        first = firsts.setdefault(step.axis, step)
        speedup = 0.0 if step.error or first.error else step.fps / first.fps
        compared.append(dataclasses.replace(step, speedup=speedup))
    return compared
