"""Run a whole benchmark and collect its result."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..notes import get_logger
from .analysis import analyze, best_batch, scaling
from .environment import machine_info
from .matrix import BenchmarkMatrix
from .runner import Measurement, measure_case, run_case

logger = get_logger(__name__)

_FORMAT = 2
_BUSY_LOAD = 0.5
"""Load average above which a note warns of other work."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a benchmark.

    Attributes:
        machine: see `streamcam.bench.environment.machine_info`.
        software: versions.
        setting: clip, frames and options.
        rows: all cases, failed ones too.
    """

    machine: dict[str, Any]
    software: dict[str, Any]
    setting: dict[str, Any]
    rows: tuple[Measurement, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with analyses and scaling."""
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
    check: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Measure all cases, each in its own process; takes minutes.

    Args:
        matrix: what to measure.
        check: called with the result without rows before any measurement; an error it raises ends the benchmark.

    Raises:
        StreamcamError: clip, model, method or an option cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-bench-") as folder:
        work_dir = Path(folder)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        first = "auto" if matrix.device == "all" else matrix.device.split(",")[0]
        warm_up = run_case(matrix.case("warm_up", work_dir, device=first, batch=min(matrix.batches)))
        computed = {name: warm_up[name] for name in ("size", "input", "layer", "method")}
        result = Result(
            machine=machine_info(warm_up["devices"]),
            software={"streamcam": __version__, **warm_up["software"]},
            setting={**matrix.setting, **computed, **({"xla": True} if warm_up.get("xla") else {})},
        )
        check(result)
        cases = matrix.cases(warm_up, work_dir)
        minutes = matrix.estimate_seconds(warm_up, cases) / 60
        logger.info(
            "%d cases of %d frames, 1 + %d times each: about %s",
            len(cases),
            matrix.frames,
            matrix.repeats,
            f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{60 * minutes:.0f} seconds",
        )
        if load > _BUSY_LOAD:
            logger.warning("this machine is busy with other work (load %.1f), which slows the results", load)
        rows: list[Measurement] = []

        def measure_and_report(case: Any) -> None:
            rows.append(measure_case(case))
            logger.info("%s: %s", case.name, rows[-1].error or f"{rows[-1].fps:.1f} fps")

        for case in cases:
            measure_and_report(case)
        names = matrix.devices(warm_up)
        batch = best_batch(rows, names[0])
        if batch is not None:
            for count in range(2, len(names) + 1):
                measure_and_report(
                    matrix.case(
                        "end_to_end",
                        work_dir,
                        warm_up["clip"],
                        device=",".join(names[:count]),
                        batch=batch,
                        xla=warm_up.get("xla", False),
                    )
                )
    return Result(result.machine, result.software, result.setting, tuple(rows))
