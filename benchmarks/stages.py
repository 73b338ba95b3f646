"""Each stage alone, all together, and the distance to the bound, by `streamcam bench`.

python benchmarks/stages.py [--repeats N] [--frames N] [--only MODEL...]

For the embedded model, MobileNetV2 and ResNet50 (random weights), at 720p and 1080p. Writes the section "stages" of
RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import REPOSITORY, WORK, format_median, log_progress, machine_summary, table, write_section

MODELS = {
    "efficientnet-lite0": "efficientnet-lite0",
    "MobileNetV2": "benchmarks.random_models:mobilenet_v2",
    "ResNet50": "benchmarks.random_models:resnet50",
}
MAX_RATIO = 1.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    rows, costs = [], []
    for height, clip in (("720p", _clip()), ("1080p", REPOSITORY / "samples" / "samoyed_1080p_nogps.mp4")):
        for name in options.only:
            log_progress(f"{name}, {height}")
            result = run_bench(MODELS[name], clip, options.repeats, options.frames)
            rows.append((f"{name}, {height}", *stages(result)))
            costs.append((f"{name}, {height}", *distance(result)))
    write_section("stages", format_section(rows, costs, options))


def _clip() -> Path:
    path = WORK / "20s.mp4"
    WORK.mkdir(exist_ok=True)
    if not path.exists():
        subprocess.run([sys.executable, REPOSITORY / "benchmarks" / "clips.py", "20", path], check=True)
    return path


def run_bench(model: str, clip: Path, repeats: int, frames: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "streamcam", "bench", clip, "--model", model, "--batch", "8", "--json"]
    command += ["--frames", str(frames), "--repeats", str(repeats), "--fit", "stretch"]
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("streamcam bench failed")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _row(result: dict[str, Any], stage: str) -> dict[str, Any]:
    rows = [row for row in result["rows"] if row["stage"] == stage and not row["error"]]
    best: dict[str, Any] = min(rows, key=lambda row: row["cpu_seconds"])
    return best


def stages(result: dict[str, Any]) -> list[str]:
    """Frames a second of each stage alone, and of all."""
    rates = [
        format_median([1 / one for one in _row(result, name)["wall"]], 0)
        for name in ("decode", "model", "draw", "encode", "end_to_end")
    ]
    whole = _row(result, "end_to_end")
    return [
        *rates,
        f"{whole['latency_p50'] * 1000:.0f}, {whole['latency_p99'] * 1000:.0f}",
        result["verdicts"][0]["bottleneck"],
    ]


def distance(result: dict[str, Any]) -> list[str]:
    """CPU milliseconds a frame, and ratios to the bound."""
    analysis = result["verdicts"][0]
    whole = _row(result, "end_to_end")
    return [
        format_median([1000 * one for one in whole["cpu"]]),
        format_median([1000 * one for one in _row(result, "transcode")["cpu"]]),
        f"{format_median([1000 * one for one in _row(result, 'forward')['cpu']])} {analysis['forward_precision']}",
        f"{1000 * analysis['overlay']:.1f}",
        f"{analysis['cpu_over_bound']:.2f}",
        f"{analysis['cpu_over_bound_and_overlay']:.2f}",
        f"{analysis['busy_cores'] / result['machine']['cores']:.0%}",
        f"{_row(result, 'end_to_end')['memory'] / 2**20:,.0f}",
    ]


def format_section(rows: list[Any], costs: list[Any], options: argparse.Namespace) -> str:
    speeds = table(
        (
            "alone, frames a second",
            "decode + scale",
            "model",
            "draw",
            "encode",
            "end to end",
            "latency p50, p99, ms",
            "slowest",
        ),
        rows,
    )
    head = (
        "CPU, ms a frame",
        "end to end",
        "plain transcode",
        "bare forward pass",
        "more for encoding what is drawn",
        f"÷ bound (wanted ≤ {MAX_RATIO:.2f})",
        "÷ bound with that",
        "cores busy (wanted ≥ 90 %)",
        "peak memory, MiB",
    )
    return f"""## Stages, and the distance to the bound

`streamcam bench` with batches of 8, {options.frames} frames, {options.repeats} repeats after one to warm up, each
case in a process of its own: medians, smallest and largest in brackets. The bound is the plain transcode and the bare
forward pass in the cheapest precision. The frames that are encoded have the overlay on them and are dearer to encode
than those of the source, which the bound transcodes; the column "÷ bound with that" counts the difference into the
bound. The clips are the Samoyed sample at 720p (25 frames a second) and as it is at 1080p. MobileNetV2 and ResNet50
have random weights. Latency is from a frame's arrival from the decoder until it is handed to the encoder, in a
file, where frames wait for one another. Made by `make bench-stages`.

Machine: {machine_summary()}.

{speeds}

{table(head, costs)}"""


if __name__ == "__main__":
    main()
