"""Cases measured from outside, and what became of them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError, StreamcamError
from .worker import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one case showed.

    Attributes:
        stage, device, batch, precision: of the case; ``precision`` is what was computed in.
        wall, cpu: seconds a frame, for each repeat; empty where the case failed. ``cpu`` is that of all threads.
        memory_bytes, device_memory_bytes: most bytes held; None where nobody tells.
        compile_seconds: building the compiled function and running it first; None without a model.
        latency_p50_seconds, latency_p99_seconds: seconds from a frame's arrival from the source until its picture was handed to the
            encoder; of ``whole`` alone.
        error: why the case failed; empty where it did not.
    """

    stage: str
    device: str = ""
    batch: int = 0
    precision: str = ""
    wall: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    compile_seconds: float | None = None
    latency_p50_seconds: float | None = None
    latency_p99_seconds: float | None = None
    error: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What it shares with a row of another benchmark that it may be compared to."""
        return self.stage, self.device, self.batch, self.precision if self.stage == "forward" else ""

    @property
    def wall_seconds(self) -> float:
        """Median seconds a frame."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median CPU seconds a frame."""
        return statistics.median(self.cpu)

    @property
    def fps(self) -> float:
        """Frames a second, of the median."""
        return 1 / self.wall_seconds

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; medians and frames a second are added to the fields."""
        medians = {} if self.error else {name: getattr(self, name) for name in ("fps", "wall_seconds", "cpu_seconds")}
        return {**dataclasses.asdict(self), **medians}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Measurement:
        """The row that `as_dict` told of."""
        fields = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**fields, "wall": tuple(fields["wall"]), "cpu": tuple(fields["cpu"])})


def run_case(case: Case) -> dict[str, Any]:
    """Runs a case in a fresh process. A `KeyboardInterrupt` ends that process too.

    Raises:
        StreamcamError, OptionError: what the case says it failed by, or how its process ended.
    """
    command = [sys.executable, "-m", "streamcam.bench.worker", case.as_json()]
    # What a run before this one has kept would hide what compiling costs.
    environment = {**os.environ, "STREAMCAM_CACHE": "off"}
    with tempfile.TemporaryFile("w+", errors="replace") as stderr_file:
        # Its standard input is never written to: the case ends when it is closed, however this process ends.
        with subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr_file,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
        ) as process:
            assert process.stdout is not None
            try:
                output = process.stdout.read()
                code = process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
        stderr_file.seek(0)
        stderr_text = stderr_file.read()
    if code:
        raise StreamcamError(f"{case.name}: {_exit_reason(code, stderr_text)}")
    report = _parse_report(output)
    if report is None:
        raise StreamcamError(f"{case.name}: its process ended without a report")
    if "error" in report:
        raise (OptionError if report["usage"] else StreamcamError)(report["error"])
    return report


def measure_case(case: Case) -> Measurement:
    """Runs a case in a fresh process; one that fails has an error instead of numbers."""
    row = Measurement(stage=case.stage, device=case.device, batch=case.batch, precision=case.precision)
    try:
        report = run_case(case)
    except StreamcamError as error:
        return dataclasses.replace(row, error=str(error))
    return Measurement.from_dict({**dataclasses.asdict(row), **report})


def _parse_report(output: str) -> dict[str, Any] | None:
    """What a case reports; None where that is nothing, or not whole."""
    try:
        report = json.loads(output)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def _exit_reason(code: int, stderr_text: str) -> str:
    if code < 0:
        return f"its process was ended by signal {-code}{', for want of memory' * (code == -signal.SIGKILL)}"
    lines = stderr_text.strip().splitlines()
    return lines[-1] if lines else f"its process ended with {code}"
