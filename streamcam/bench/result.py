"""A whole benchmark: run, kept, and set against an earlier one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import StreamcamError
from .bound import best_batch, scaling, verdicts
from .machine import machine
from .measure import Row, measured, report_of
from .plan import Plan

_FORMAT = 1


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


def load(path: Path) -> Result:
    """A result that was saved as JSON.

    Raises:
        StreamcamError: it cannot be read, or is something else.
    """
    try:
        told = json.loads(path.read_text())
        rows = tuple(Row.from_dict(row) for row in told["rows"])
        return Result(told["machine"], told["software"], told["setting"], rows)
    except OSError as error:
        raise StreamcamError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StreamcamError(
            f"{path} is no benchmark of this version of streamcam", wanted="a file written by streamcam bench --save"
        ) from error


def comparable(old: Result, new: Result) -> None:
    """Checks that two results differ in their numbers and software alone.

    Raises:
        StreamcamError: they are of different machines, or of different clips, models, methods or options.
    """
    for what, before, now in (
        ("another machine", old.machine, new.machine),
        ("something else", old.setting, new.setting),
    ):
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                raise StreamcamError(
                    f"the earlier benchmark is of {what}: {name} was {_said(before.get(name))} "
                    f"and is {_said(now.get(name))}",
                    do="compare benchmarks of one machine and one setting only",
                )


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {about}".strip() for name, about in value.items()) or "none"
    return "not set" if value is None else str(value)


def bench(plan: Plan, say: Callable[[str], None] = lambda line: None, earlier: Result | None = None) -> Result:
    """Measures all cases of a plan, each in a process of its own; takes minutes.

    Args:
        plan: what to measure.
        say: is told in one line what is to come and what each case showed.
        earlier: a result that this one will be compared with; checked before anything is measured.

    Raises:
        StreamcamError: clip, model, method or an option cannot be used, or ``earlier`` cannot be compared with.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-bench-") as folder:
        work = Path(folder)
        first = "auto" if plan.device == "all" else plan.device.split(",")[0]
        found = report_of(plan.case("prepare", work, device=first, batch=min(plan.batches)))
        computed = {name: found[name] for name in ("size", "input", "layer", "method")}
        result = Result(
            machine=machine(found["devices"]),
            software={"streamcam": __version__, **found["software"]},
            setting={"model": found["model"], **plan.setting, **computed},
        )
        if earlier is not None:
            comparable(earlier, result)
        cases = plan.cases(found, work)
        minutes = plan.seconds(found, cases) / 60
        say(
            f"{len(cases)} cases of {plan.frames} frames, 1 + {plan.repeats} times each: "
            f"about {f'{minutes:.0f} minutes' if minutes >= 1.5 else f'{60 * minutes:.0f} seconds'}"
        )
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
