"""From the start of a process until streamcam explains, against the time that importing TensorFlow takes.

python benchmarks/startup.py [--rounds N]

The first run on a machine (nothing kept yet), a second one, and the bare import take turns, in fresh processes.
Writes the section "startup" of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import BENCHMARKS, REPOSITORY, format_median, log_progress, machine_summary, table, write_section

CASE = BENCHMARKS / "cases" / "ready.py"
CLIP = REPOSITORY / "samples" / "samoyed_640_nogps.mp4"
MAX_RATIO = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found: dict[str, list[dict[str, float]]] = {"import": [], "first": [], "second": []}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.mp4")
        measure_start((CLIP, out), folder)  # reads TensorFlow's files into memory, and writes bytecode
        for number in range(rounds):
            cache_dir = Path(folder, str(number))
            found["import"].append(measure_start(("import",), cache_dir))
            found["first"].append(measure_start((CLIP, out), cache_dir))
            found["second"].append(measure_start((CLIP, out), cache_dir))
            log_progress(
                f"round {number + 1} of {rounds}: {found['second'][-1]['wall'] / found['import'][-1]['wall']:.2f}"
            )
    write_section("startup", format_section(found))


def measure_start(arguments: tuple[str | Path, ...], cache_dir: str | Path) -> dict[str, float]:
    """One process."""
    # An installed package has its bytecode beside it.
    without_flag = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {
        **without_flag,
        "STREAMCAM_CACHE": str(cache_dir),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "STARTED": str(time.time()),
    }
    command = [sys.executable, str(CASE), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[0])
    return result


def format_section(found: dict[str, list[dict[str, float]]]) -> str:
    names = {"import": "`import tensorflow`", "first": "first run: nothing kept", "second": "second run"}
    rows = []
    for name, title in names.items():
        ratios = {
            unit: format_median(
                [one[unit] / base[unit] for one, base in zip(found[name], found["import"], strict=True)], 2
            )
            for unit in ("wall", "cpu")
        }
        seconds = {unit: format_median([one[unit] for one in found[name]], 2) for unit in ("wall", "cpu")}
        limit = f"≤ {MAX_RATIO}" if name == "second" else "–"
        rows.append((title, seconds["wall"], seconds["cpu"], ratios["wall"], ratios["cpu"], limit))
    head = ("from the process's start until ready", "wall, s", "CPU, s", "ratio, wall", "ratio, CPU", "wanted")
    return f"""## Start-up

`streamcam process` on the 640x360 sample, embedded model, Grad-CAM: until the first frames go to the model, everything
compiled. The three take turns in fresh processes, {len(found["import"])} rounds; ratios are within a round. Made by
`make bench-startup`.

Machine: {machine_summary()}.

{table(head, rows)}"""


if __name__ == "__main__":
    main()
