"""Run one case of a benchmark: ``python -m streamcam.bench.worker JSON`` prints a JSON object.

Its standard output holds the object only. The process exits early when its standard input closes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TextIO

from ..errors import OptionError, StreamcamError
from .case import Case
from .environment import limit_cores


def main() -> None:
    """Run the case in the first argument; print its report or error."""
    report_file = _reserve_stdout()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    case = Case.from_json(sys.argv[1])
    if case.cores:  # before any library counts them
        limit_cores(case.cores)
    from .stages import STAGES

    try:
        report = STAGES[case.stage](case)
    except StreamcamError as error:
        report = {"error": str(error), "usage": isinstance(error, OptionError)}
    with report_file:
        report_file.write(json.dumps(report))


def _reserve_stdout() -> TextIO:
    """Return standard output for the report; redirect prints of models and libraries to stderr."""
    report_file = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report_file


def _exit_with_parent() -> None:
    """Exit when stdin closes: the parent is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
