"""A whole benchmark: run, and what it found."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from .analysis import analyze, best_batch, scaling
from .environment import machine_info
from .matrix import BenchmarkMatrix
from .runner import Measurement, measure_case, run_case

_FORMAT = 1
_BUSY_LOAD = 0.5
"""Processes that may have been running on average in the minute before."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark found.

    Attributes:
        machine: see `streamcam.bench.environment.machine`.
        software: versions.
        setting: what was measured: clip, frames and options.
        rows: the cases, failed ones too.
    """

    machine: dict[str, Any]
    software: dict[str, Any]
    setting: dict[str, Any]
    rows: tuple[Measurement, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what follows from them."""
        return {
            "format": _FORMAT,
            "machine": self.machine,
            "software": self.software,
            "setting": self.setting,
            "rows": [row.as_dict() for row in self.rows],
            "analyses": [analysis.as_dict() for analysis in analyze(self.rows, self.machine["cores"])],
            "scaling": scaling(self.rows),
        }


def bench(
    matrix: BenchmarkMatrix,
    notify: Callable[[str], None] = lambda line: None,
    check: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Measures all cases of a plan, each in a process of its own; takes minutes.

    Args:
        matrix: what to measure.
        notify: is told in one line what is to come and what each case showed.
        check: is handed the result without rows before anything is measured; what it raises ends the benchmark.

    Raises:
        StreamcamError: clip, model, method or an option cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-bench-") as folder:
        work_dir = Path(folder)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        first = "auto" if matrix.device == "all" else matrix.device.split(",")[0]
        warm_up = run_case(matrix.case("prepare", work_dir, device=first, batch=min(matrix.batches)))
        computed = {name: warm_up[name] for name in ("size", "input", "layer", "method")}
        result = Result(
            machine=machine_info(warm_up["devices"]),
            software={"streamcam": __version__, **warm_up["software"]},
            setting={**matrix.setting, **computed},
        )
        check(result)
        cases = matrix.cases(warm_up, work_dir)
        minutes = matrix.estimate_seconds(warm_up, cases) / 60
        notify(
            f"{len(cases)} cases of {matrix.frames} frames, 1 + {matrix.repeats} times each: "
            f"about {f'{minutes:.0f} minutes' if minutes >= 1.5 else f'{60 * minutes:.0f} seconds'}"
        )
        if load > _BUSY_LOAD:
            notify(f"this machine is busy with other things (load {load:.1f}): the numbers will tell of them too")
        rows: list[Measurement] = []

        def measure_and_report(case: Any) -> None:
            rows.append(measure_case(case))
            notify(f"{case.name}: {rows[-1].error or f'{rows[-1].fps:.1f} fps'}")

        for case in cases:
            measure_and_report(case)
        names = matrix.devices(warm_up)
        batch = best_batch(rows, names[0])
        if batch is not None:
            for count in range(2, len(names) + 1):
                measure_and_report(
                    matrix.case("whole", work_dir, warm_up["clip"], device=",".join(names[:count]), batch=batch)
                )
    return Result(result.machine, result.software, result.setting, tuple(rows))
