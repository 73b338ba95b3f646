"""A whole benchmark: run, and what it found."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from .bound import best_batch, scaling, verdicts
from .machine import machine
from .measure import Row, measured, report_of
from .plan import Plan

_FORMAT = 1
_QUIET = 0.5
"""Processes that may have been running on average in the minute before."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark found.

    Attributes:
        machine: see `streamcam.bench.machine.machine`.
        software: versions.
        setting: what was measured: clip, frames and options.
        rows: the cases, failed ones too.
    """

    machine: dict[str, Any]
    software: dict[str, Any]
    setting: dict[str, Any]
    rows: tuple[Row, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what follows from them."""
        return {
            "format": _FORMAT,
            "machine": self.machine,
            "software": self.software,
            "setting": self.setting,
            "rows": [row.as_dict() for row in self.rows],
            "verdicts": [verdict.as_dict() for verdict in verdicts(self.rows, self.machine["cores"])],
            "scaling": scaling(self.rows),
        }


def bench(
    plan: Plan, say: Callable[[str], None] = lambda line: None, check: Callable[[Result], None] = lambda result: None
) -> Result:
    """Measures all cases of a plan, each in a process of its own; takes minutes.

    Args:
        plan: what to measure.
        say: is told in one line what is to come and what each case showed.
        check: is handed the result without rows before anything is measured; what it raises ends the benchmark.

    Raises:
        StreamcamError: clip, model, method or an option cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-bench-") as folder:
        work = Path(folder)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        first = "auto" if plan.device == "all" else plan.device.split(",")[0]
        found = report_of(plan.case("prepare", work, device=first, batch=min(plan.batches)))
        computed = {name: found[name] for name in ("size", "input", "layer", "method")}
        result = Result(
            machine=machine(found["devices"]),
            software={"streamcam": __version__, **found["software"]},
            setting={**plan.setting, **computed},
        )
        check(result)
        cases = plan.cases(found, work)
        minutes = plan.seconds(found, cases) / 60
        say(
            f"{len(cases)} cases of {plan.frames} frames, 1 + {plan.repeats} times each: "
            f"about {f'{minutes:.0f} minutes' if minutes >= 1.5 else f'{60 * minutes:.0f} seconds'}"
        )
        if load > _QUIET:
            say(f"this machine is busy with other things (load {load:.1f}): the numbers will tell of them too")
        rows: list[Row] = []

        def measure(case: Any) -> None:
            rows.append(measured(case))
            say(f"{case.name}: {rows[-1].error or f'{rows[-1].fps:.1f} fps'}")

        for case in cases:
            measure(case)
        names = plan.devices(found)
        batch = best_batch(rows, names[0])
        if batch is not None:
            for count in range(2, len(names) + 1):
                measure(plan.case("whole", work, found["clip"], device=",".join(names[:count]), batch=batch))
    return Result(result.machine, result.software, result.setting, tuple(rows))
