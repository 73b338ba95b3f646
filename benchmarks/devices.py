"""One, two and four replicas: the same maps in the same order, also when one fails; and what they cost.

python benchmarks/devices.py [--frames N]

Logical devices of one CPU stand for GPUs: they show that dealing out batches costs nothing and changes
nothing, not how fast more devices are. Writes the section "devices" of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from common import BENCHMARKS, REPOSITORY, format_median, log_progress, machine_summary, table, write_section

CASE = BENCHMARKS / "cases" / "replicas.py"
CLIP = REPOSITORY / "samples" / "cockatoo.mp4"
COUNTS = (1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    cases = [(count, failing) for count in COUNTS for failing in ("", "failing") if count > 1 or not failing]
    found: dict[tuple[int, str], list[dict[str, float]]] = {case: [] for case in cases}
    for number in range(rounds):
        for count, failing in cases:
            log_progress(f"round {number + 1} of {rounds}: {count} {failing}")
            found[count, failing].append(measure_case(count, failing))
    write_section("devices", format_section(found))


def measure_case(count: int, failing: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, CASE, CLIP, *([failing] if failing else [])],
        env={**os.environ, "STREAMCAM_CPU_DEVICES": str(count)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def format_section(found: dict[tuple[int, str], list[dict[str, float]]]) -> str:
    alone = found[1, ""]
    rows = []
    for (count, failing), measured in found.items():
        ratios = [one["cpu"] / base["cpu"] for one, base in zip(measured, alone, strict=True)]
        rows.append(
            (
                f"{count}" + (", one fails with its second batch" if failing else ""),
                f"{measured[0]['frames']}",
                "yes" if all(one["ordered"] for one in measured) else "NO",
                "yes" if {one["digest"] for one in measured} == {alone[0]["digest"]} else "NO",
                format_median([1000 * one["cpu"] for one in measured]),
                format_median(ratios, 2),
            )
        )
    head = ("replicas", "frames out", "in order", "maps bit for bit those of one", "CPU, ms a frame", "÷ one, CPU")
    return f"""## Several devices

The cockatoo sample (280 frames), embedded model, Grad-CAM in float32, `--device all` with the CPU taken for
several devices; each case a fresh process. On real devices each has its own arithmetic units: here they share two
cores, so this shows that nothing is lost, mixed up or made dearer. Made by `make bench-devices`.

Machine: {machine_summary()}.

{table(head, rows)}"""


if __name__ == "__main__":
    main()
