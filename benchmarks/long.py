"""Cost of a frame and memory along a clip of half an hour: neither may depend on the position.

python benchmarks/long.py [--minutes N]

The benchmark's 720p clip, repeated, in one process. Writes the section "long" of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from common import BENCHMARKS, WORK, format_median, log_progress, machine_summary, table, write_section

CASE = BENCHMARKS / "cases" / "along.py"
PARTS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    minutes = parser.parse_args().minutes
    WORK.mkdir(exist_ok=True)
    clip = WORK / f"{minutes}min.mp4"
    if not clip.exists():
        log_progress("making the clip")
        subprocess.run([sys.executable, BENCHMARKS / "clips.py", str(minutes * 60), clip], check=True)
    command = [sys.executable, CASE, clip, WORK / "along.mp4", str(PARTS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    write_section("long", format_section(json.loads(done.stdout.splitlines()[-1]), minutes))
    (WORK / "along.mp4").unlink()


def format_section(found: dict[str, list[float]], minutes: int) -> str:
    cpu, wall, memory, frames = (found[name] for name in ("cpu", "wall", "memory", "frames"))
    rows = [
        (
            f"{n + 1} of {len(cpu)}",
            f"{frames[n]:,.0f}",
            f"{1000 * cpu[n]:.2f}",
            f"{1 / wall[n]:.1f}",
            f"{memory[n]:,.0f}",
        )
        for n in range(len(cpu))
    ]
    half = len(cpu) // 2
    ratio = statistics.median(cpu[half:]) / statistics.median(cpu[:half])
    slope, _ = statistics.linear_regression(range(1, len(memory)), memory[1:])
    return f"""## A long clip

The 720p clip of the peers (25 frames a second) repeated to {minutes} minutes, embedded
model, Grad-CAM, in one process. Made by `make bench-long`.

Machine: {machine_summary()}.

{table(("part", "frames", "CPU, ms a frame", "frames a second", "resident memory at its end, MiB"), rows)}

CPU time of a frame: {format_median([1000 * one for one in cpu], 2)} ms; second half ÷ first half {ratio:.3f}.
Memory changes by {slope:+.1f} MiB a part after the first."""


if __name__ == "__main__":
    main()
