"""What the benchmarks share: a process measured from outside, medians, the machine, and sections of RESULTS.md.

Only the standard library is imported here: the peak memory that Linux reports for a child begins at the size of
the process that started it, so that one has to stay small.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent
REPOSITORY = BENCHMARKS.parent
WORK = BENCHMARKS / "work"
RESULTS = BENCHMARKS / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class ProcessMeasurement:
    """One process from its start to its end.

    Attributes:
        wall_seconds: elapsed time.
        cpu_seconds: user and system time of the process and of the children it waited for.
        peak_memory_mib: largest resident memory of any of these processes, MiB.
        report: the JSON object on its last line of standard output.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    report: dict[str, Any]


def measure(command: Sequence[str | Path]) -> ProcessMeasurement:
    """Run a command and parse its last line of output as JSON; exit if it fails."""
    arguments = [str(part) for part in command]
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY)
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            tail = "\n".join((output + errors.read()).splitlines()[-20:])
            sys.exit(f"{' '.join(arguments)}\nended with {process.returncode}:\n{tail}")
    report = json.loads(output.splitlines()[-1])
    return ProcessMeasurement(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report)


def streamcam_command(clip: Path, out: Path) -> list[str | Path]:
    """Return streamcam's command: what a user types, and the fit that gives all cases the same 224x224."""
    command = [sys.executable, "-m", "streamcam", "process", clip, "-o", out, "--fit", "stretch"]
    return [*command, "--overwrite", "--json", "--quiet"]


def log_progress(line: str) -> None:
    """Print the progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def format_median(values: Sequence[float], digits: int = 1) -> str:
    """``median (smallest–largest)``; the median alone of a single value."""
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; the first column is text, the others are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def usable_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def machine_summary() -> str:
    """CPU, cores, memory and date in one line, without names or places."""
    fields = dict(_field(line) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    memory = dict(_field(line) for line in Path("/proc/meminfo").read_text().splitlines())["MemTotal"]
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    has = [flag for flag in known if flag in fields.get("flags", "").split()]
    return (
        f"{fields.get('model name', platform.machine())} ({', '.join(has) or 'no known vector extension'}), "
        f"{usable_cores()} cores, {int(memory.split()[0]) / 2**20:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}; {time.strftime('%Y-%m-%d')}"
    )


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def write_section(name: str, text: str) -> None:
    """Replace the text between the section's markers in RESULTS.md, or append the section."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    whole = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    before, found, rest = whole.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    RESULTS.write_text(f"{before if found else whole.rstrip() + chr(10) * 2}{section}{after}")
