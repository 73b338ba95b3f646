"""Memory must not grow with the clip: streamcam on one minute and on ten of the same video.

python benchmarks/memory.py [--minutes 10] [--repeats 1]

Writes the section "Memory" of RESULTS.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from common import (
    BENCHMARKS,
    WORK,
    ProcessMeasurement,
    format_median,
    log_progress,
    machine_summary,
    measure,
    streamcam_command,
    table,
    write_section,
)

GROWTH, PEAK_MIB = 1.10, 1536


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares streamcam's peak memory on a short and a long clip.")
    parser.add_argument("--minutes", type=int, default=10, help="length of the long clip")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    lengths = (1, options.minutes)
    runs: dict[int, list[ProcessMeasurement]] = {minutes: [] for minutes in lengths}
    for minutes in lengths:
        clip = WORK / f"{minutes}min.mp4"
        subprocess.run([sys.executable, BENCHMARKS / "clips.py", str(60 * minutes), clip], check=True)
    for _ in range(options.repeats):
        for minutes in lengths:
            run = measure(streamcam_command(WORK / f"{minutes}min.mp4", WORK / "out-memory.mp4"))
            log_progress(f"{minutes} min: {run.report['frames_out']} frames, peak {run.peak_memory_mib:.0f} MiB")
            runs[minutes].append(run)
    text = report(runs)
    print(text)
    write_section("memory", text)


def report(runs: dict[int, list[ProcessMeasurement]]) -> str:
    """Format the section."""
    rows = [
        (
            f"{minutes} min",
            f"{measured[0].report['frames_out']:,}",
            format_median([run.peak_memory_mib for run in measured], 0),
            format_median([run.report["fps"] for run in measured]),
        )
        for minutes, measured in runs.items()
    ]
    short, long = (statistics.median(run.peak_memory_mib for run in measured) for measured in runs.values())
    return "\n\n".join(
        (
            "## Memory",
            "streamcam on the benchmark's clip (1280x720, 25 frames a second), repeated to the length given, each in a "
            "fresh process. Made by `make bench-memory`.",
            f"Machine: {machine_summary()}.",
            table(("clip", "frames", "peak memory, MiB", "frames a second"), rows),
            f"Growth: {long / short:.3f} (wanted ≤ {GROWTH:.2f}); peak {long:,.0f} MiB (wanted < {PEAK_MIB:,}).",
        )
    )


if __name__ == "__main__":
    main()
