"""Runs fuzz cases in a worker process and classifies what becomes of each."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
MODEL = "tests.pipeline.models:brightness_of_fixed_size"
MAX_SECONDS = 60.0
MAX_BYTES = 3 * 10**9
START_SECONDS = 300.0
_LINES_KEPT = 20


@dataclass(frozen=True)
class Finding:
    """A case that broke a rule.

    Attributes:
        rule: ``abort``, ``hang``, ``memory``, ``foreign exception``, ``lost frames`` or ``false count``.
        number: of the case.
        text: what happened.
    """

    rule: str
    number: int
    text: str


@dataclass
class Report:
    """Counts and findings of a run."""

    kinds: Counter[str] = field(default_factory=Counter)
    uses: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    peak_bytes: int = 0
    longest_seconds: float = 0.0

    @property
    def num_cases(self) -> int:
        """How many cases were run."""
        return sum(self.kinds.values())

    def __str__(self) -> str:
        rules = Counter(finding.rule for finding in self.findings)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.num_cases} cases ({kinds}): {dict(self.outcomes)}, findings {dict(rules) or 'none'}, "
            f"peak memory {self.peak_bytes / 1e6:.0f} MB, longest {self.longest_seconds:.1f} s"
        )


class Worker:
    """A worker process, started again after a crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def ask(self, request: dict[str, Any], max_seconds: float) -> dict[str, Any]:
        """Return the worker's answer, or ``{"outcome": "abort" or "hang"}``."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        try:
            line = self._answers.get(timeout=max_seconds)
        except queue.Empty:
            self.stop()
            return {"outcome": "hang", "error": f"no answer in {max_seconds:g} s"}
        if not line:
            code = process.wait()
            self.stop()
            return {"outcome": "abort", "error": f"exit code {code}: {self._last_messages()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SVT_LOG": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["STREAMCAM_CACHE"] = str(self._folder / "cache")
        self._log = (self._folder / "log.txt").open("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self._folder), MODEL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._answers = queue.Queue()
        threading.Thread(target=_forward, args=(self._process.stdout, self._answers), daemon=True).start()
        if not self._answers.get(timeout=START_SECONDS):
            raise RuntimeError(f"the worker does not start: {self._last_messages()}")

    def _last_messages(self) -> str:
        return " | ".join((self._folder / "log.txt").read_text(errors="replace").splitlines()[-_LINES_KEPT:])

    def stop(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._log):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._process = None


def _forward(lines: IO[str] | None, answers: queue.Queue[str]) -> None:
    """Queue each line, and an empty one at the end."""
    with contextlib.suppress(ValueError):
        for line in lines or ():
            answers.put(line)
    answers.put("")


@contextlib.contextmanager
def start_worker() -> Iterator[Worker]:
    """Yield a worker in a folder of its own, and stop it."""
    with tempfile.TemporaryDirectory(prefix="streamcam-fuzz-") as folder:
        worker = Worker(Path(folder))
        try:
            yield worker
        finally:
            worker.stop()


def run_cases(
    worker: Worker, requests: Iterable[dict[str, Any]], *, max_seconds: float = MAX_SECONDS, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[dict[str, Any], list[Finding]]]:
    """Yield the answer to each request, and the rules that it broke."""
    for request in requests:
        answer = worker.ask(request, max_seconds)
        yield answer, list(check_answer(request.get("number", -1), answer, max_bytes))


def check_answer(number: int, answer: dict[str, Any], max_bytes: int) -> Iterator[Finding]:
    """Yield the rules that a case broke."""
    text = f"{answer.get('kind')} {answer.get('name')}, {answer.get('use')}: {answer.get('error', '')}"
    frames, in_file = answer.get("frames", 0), answer.get("frames_in_file")
    match answer["outcome"]:
        case "abort" | "hang":
            yield Finding(answer["outcome"], number, text)
            return
        case "foreign":
            yield Finding("foreign exception", number, text)
    if "\n" in answer.get("error", ""):
        yield Finding("foreign exception", number, f"more than one line: {text}")
    if answer.get("peak_bytes", 0) > max_bytes:
        yield Finding("memory", number, f"{answer['peak_bytes'] / 1e6:.0f} MB: {text}")
    if (in_file or frames) < answer.get("decodable", 0):
        yield Finding("lost frames", number, f"{in_file or frames} of {answer['decodable']} frames: {text}")
    if answer["outcome"] == "done" and in_file is not None and in_file != frames:
        yield Finding("false count", number, f"{frames} frames reported, {in_file} in the file: {text}")


def add_to(report: Report, answer: dict[str, Any], findings: list[Finding]) -> None:
    """Count a case in a report."""
    report.kinds[answer.get("kind", "unknown")] += 1
    report.uses[answer.get("use", "unknown")] += 1
    report.outcomes[answer["outcome"]] += 1
    report.findings += findings
    report.peak_bytes = max(report.peak_bytes, answer.get("peak_bytes", 0))
    report.longest_seconds = max(report.longest_seconds, answer.get("seconds", 0.0))
