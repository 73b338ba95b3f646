"""Speed-up by cores and devices, and by several inputs at once.

python benchmarks/scaling.py [--frames N] [--repeats N] [--device D] [--clip CLIP]

Writes the section "scaling" of RESULTS.md: `streamcam bench --scaling` on the 1080p sample at the default preset, and
folders of images, short clips and videos one by one and at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import BENCHMARKS, REPOSITORY, format_median, log_progress, machine_summary, measure, table, write_section

CASE = BENCHMARKS / "cases" / "inputs.py"
FOLDERS = {
    "24 images of 1920x1080, PNG": ("image", 24, 1),
    "12 clips of 8 frames": ("short", 12, 8),
    "2 clips of 64 frames": ("video", 2, 64),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clip", type=Path, default=REPOSITORY / "samples" / "samoyed_1080p_nogps.mp4")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    result = run_bench(options)
    folders = {}
    for name, case in FOLDERS.items():
        log_progress(name)
        folders[name] = measure([sys.executable, CASE, *map(str, case), str(options.repeats)]).report
    write_section("scaling", format_section(result, folders, options, load))


def run_bench(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "streamcam", "bench", options.clip, "--scaling", "--json"]
    command += ["--frames", options.frames, "--repeats", options.repeats, "--device", options.device]
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("streamcam bench failed")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def format_section(
    result: dict[str, Any], folders: dict[str, dict[str, Any]], options: argparse.Namespace, load: float
) -> str:
    steps = [
        (
            f"{step['count']} {step['axis'] if step['count'] > 1 else step['axis'][:-1]}, {step['device']}",
            *(("failed", *[""] * 5) if step["error"] else _step(step)),
        )
        for step in result["scaling"]
    ]
    head = ("resource", "fps", "speed-up", "efficiency", "busy cores", "CPU, ms a frame", "bottleneck")
    setting = result["setting"]
    size = "x".join(map(str, setting["size"]))
    return f"""## Scaling

`streamcam bench --scaling`: the whole pipeline at the default preset, {size}, {setting["frames"]} frames, batches of
{setting["batch"]}, {
        options.repeats
    } repeats after one to warm up: medians, smallest and largest in brackets. Each step is a
process whose CPU affinity limits its cores. The bottleneck is the stage whose threads are busy for the largest share
of the time. Then folders of inputs, one by one and at once in one process, in turn; the images and clips are 1080p. On
fewer than 8 cores streamcam runs one video at a time; the last row forces two. Made by `make bench-scaling`.

Machine: {machine_summary()}. Load before: {load:.1f}.

{table(head, steps)}

{
        table(
            ("inputs", "at once", "seconds one by one", "seconds at once", "÷", "CPU seconds one by one", "at once"),
            [_folder(name, found) for name, found in folders.items()],
        )
    }"""


def _step(step: dict[str, Any]) -> tuple[str, ...]:
    bottleneck = step["bottleneck"]
    return (
        format_median([1 / one for one in step["wall"]]),
        f"{step['speedup']:.2f}",
        f"{step['efficiency']:.0%}",
        f"{step['busy_cores']:.2f}",
        format_median([1000 * one for one in step["cpu"]]),
        f"{bottleneck}, {step['busy'][bottleneck]:.0%} busy",
    )


def _folder(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    alone, at_once = found["alone"], found["at_once"]
    ratios = [one["wall"] / other["wall"] for one, other in zip(alone, at_once, strict=True)]
    return (
        name,
        f"{max(one['at_once'] for one in at_once)}",
        format_median([one["wall"] for one in alone], 2),
        format_median([one["wall"] for one in at_once], 2),
        format_median(ratios, 2),
        format_median([one["cpu"] for one in alone], 2),
        format_median([one["cpu"] for one in at_once], 2),
    )


if __name__ == "__main__":
    main()
