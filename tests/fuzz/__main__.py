"""Run the fuzzer: ``python -m tests.fuzz --cases 8400 --report fuzz.json``; ``make fuzz`` does."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from .harness import Report, add_to, run_cases, start_worker

_PROGRESS_CASES = 200


def main() -> int:
    """Run the cases; return 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=8400)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after this time")
    parser.add_argument("--report", type=Path, help="write counts and findings as JSON")
    options = parser.parse_args()
    report, start_time = Report(), time.monotonic()
    numbers = range(options.first, options.first + options.cases)
    with start_worker() as worker:
        for answer, findings in run_cases(worker, ({"number": number} for number in numbers)):
            add_to(report, answer, findings)
            for finding in findings:
                print(f"case {finding.number}: {finding.rule}: {finding.text}", flush=True)
            if report.num_cases % _PROGRESS_CASES == 0:
                print(report, flush=True)
                _write(options.report, report)
            if time.monotonic() - start_time > options.seconds:
                break
    print(report)
    _write(options.report, report)
    return 1 if report.findings else 0


def _write(path: Path | None, report: Report) -> None:
    if path is not None:
        findings = [dataclasses.asdict(finding) for finding in report.findings]
        counts = {"cases": report.num_cases, "kinds": report.kinds, "uses": report.uses, "outcomes": report.outcomes}
        peaks = {"peak_bytes": report.peak_bytes, "longest_seconds": report.longest_seconds}
        path.write_text(json.dumps({**counts, **peaks, "findings": findings}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
