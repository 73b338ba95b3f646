"""Run the cases of a benchmark, each in a separate process."""

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
from .case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The measurement of one case.

    Attributes:
        stage, device, batch, precision: of the case; ``precision`` is that of the computation.
        wall, cpu: seconds per frame of each repeat; empty if the case failed. ``cpu`` includes all threads.
        memory_bytes, device_memory_bytes: peak memory; None if unknown.
        compile_seconds: compile the method and run it first; None without a model.
        latency_p50_seconds, latency_p99_seconds: seconds from a frame's arrival until it reaches the encoder; of
            ``end_to_end`` alone.
        error: why the case failed; empty if it succeeded.
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
        """Identity of the case, shared with the same case of another benchmark."""
        return self.stage, self.device, self.batch, self.precision if self.stage == "forward" else ""

    @property
    def wall_seconds(self) -> float:
        """Median seconds per frame."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median CPU seconds per frame."""
        return statistics.median(self.cpu)

    @property
    def fps(self) -> float:
        """Frames per second, from the median."""
        return 1 / self.wall_seconds

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the fields, medians and frames per second."""
        medians = {} if self.error else {name: getattr(self, name) for name in ("fps", "wall_seconds", "cpu_seconds")}
        return {**dataclasses.asdict(self), **medians}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Measurement:
        """Build the row that `as_dict` described."""
        fields = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**fields, "wall": tuple(fields["wall"]), "cpu": tuple(fields["cpu"])})


def run_case(case: Case) -> dict[str, Any]:
    """Run a case in a fresh process; a `KeyboardInterrupt` ends that process too.

    Raises:
        StreamcamError, OptionError: the error that the case reported, or how its process ended.
    """
    command = [sys.executable, "-m", "streamcam.bench.worker", case.to_json()]
    # A cached compile result of an earlier run would hide the compile time.
    environment = {**os.environ, "STREAMCAM_CACHE": "off"}
    with tempfile.TemporaryFile("w+", errors="replace") as stderr_file:
        # The worker exits when its stdin closes, however this process ends. Write nothing to it.
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
    """Run a case in a fresh process; a failed one has an error instead of times."""
    row = Measurement(stage=case.stage, device=case.device, batch=case.batch, precision=case.precision)
    try:
        report = run_case(case)
    except StreamcamError as error:
        return dataclasses.replace(row, error=str(error))
    return Measurement.from_dict({**dataclasses.asdict(row), **report})


def _parse_report(output: str) -> dict[str, Any] | None:
    """Parse the report of a case; None if there is none, or a part of one."""
    try:
        report = json.loads(output)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def _exit_reason(code: int, stderr_text: str) -> str:
    if code < 0:
        return f"its process was killed by signal {-code}{', probably out of memory' * (code == -signal.SIGKILL)}"
    lines = stderr_text.strip().splitlines()
    return lines[-1] if lines else f"its process ended with {code}"
