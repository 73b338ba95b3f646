"""A benchmark set against an earlier one of the same machine."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..errors import StreamcamError
from .result import Result
from .runner import Measurement


def load(path: Path) -> Result:
    """A result that was saved as JSON.

    Raises:
        StreamcamError: it cannot be read, or is something else.
    """
    try:
        saved = json.loads(path.read_text())
        rows = tuple(_check_row(Measurement.from_dict(row)) for row in saved["rows"])
        return Result(dict(saved["machine"]), dict(saved["software"]), dict(saved["setting"]), rows)
    except OSError as error:
        raise StreamcamError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StreamcamError(
            f"{path} is no benchmark of this version of streamcam", expected="a file written by streamcam bench --save"
        ) from error


def _check_row(row: Measurement) -> Measurement:
    """A row that can be compared.

    Raises:
        TypeError, ValueError: it cannot.
    """
    words = row.stage, row.device, row.precision, row.error
    if not (all(isinstance(word, str) for word in words) and isinstance(row.batch, int)):
        raise TypeError("a case has no name")
    if not row.error and not (row.wall and row.cpu):
        raise ValueError("a case has no numbers")
    if not all(isinstance(seconds, (int, float)) and 0 < seconds < math.inf for seconds in (*row.wall, *row.cpu)):
        raise ValueError("a case has numbers that are no times")
    return row


def check_comparable(old: Result, new: Result) -> None:
    """Checks that two results differ in their numbers and software alone.

    Raises:
        StreamcamError: they are of different machines, or of different clips, models, methods or options.
    """
    for kind, before, now in (
        ("another machine", old.machine, new.machine),
        ("something else", old.setting, new.setting),
    ):
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                raise StreamcamError(
                    f"the earlier benchmark is of {kind}: {name} was {_format_value(before.get(name))} "
                    f"and is {_format_value(now.get(name))}",
                    hint="compare benchmarks of one machine and one setting only",
                )


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {about}".strip() for name, about in value.items()) or "none"
    return "not set" if value is None else str(value)


def compare_rows(old: Result, new: Result) -> list[dict[str, Any]]:
    """Old and new numbers of each case that went well both times; ratios above 1 are for the new one."""
    before = {row.key: row for row in old.rows if not row.error}
    return [
        {
            "stage": row.stage,
            "device": row.device,
            "batch": row.batch,
            "precision": row.precision,
            "fps": [earlier.fps, row.fps],
            "cpu_seconds": [earlier.cpu_seconds, row.cpu_seconds],
            "times_as_fast": row.fps / earlier.fps,
            "times_as_cheap": earlier.cpu_seconds / row.cpu_seconds,
        }
        for row in new.rows
        if not row.error and (earlier := before.get(row.key))
    ]
