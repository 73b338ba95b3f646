"""The bare forward pass, uint8 images in and logits out, against OpenVINO's: ``make bench-forward``."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import environments
from common import BENCHMARKS, WORK, format_median, log_progress, machine_summary, measure, table, write_section

CASES = BENCHMARKS / "cases"
GRAPHS = WORK / "forward"
MODELS = ("efficientnet-lite0", "MobileNetV2", "ResNet50", "EfficientNetB0", "ConvNeXtTiny")
BATCHES = (16, 8, 1)
ROUNDS = 3
LIMITS = dict.fromkeys(MODELS[:3], "≤ 1.10")


def main() -> None:
    """Time everything and write the section."""
    environments.make("openvino")
    subprocess.run([sys.executable, CASES / "forward_graphs.py", GRAPHS, *map(str, BATCHES)], check=True)
    flags = Path("/proc/cpuinfo").read_text()
    precisions = ["float32"] + ["bfloat16"] * ("avx512_bf16" in flags or "amx_bf16" in flags)
    rows, agreement, versions = [], [], {}
    for model in MODELS:
        for precision in precisions:
            found = _measure_in_turns(model, precision)
            versions.update({side: runs[0]["version"] for side, runs in found.items()})
            for batch in map(str, BATCHES):
                ours, theirs = ([run["cpu"][batch] for run in found[side]] for side in ("streamcam", "openvino"))
                ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
                limit = LIMITS.get(model, "–")
                rows.append(
                    [
                        f"{model}, {precision}, {batch}",
                        format_median(ours),
                        format_median(theirs),
                        format_median(ratios, 2),
                        limit,
                    ]
                )
            freezing = statistics.median(run["freezing"] for run in found["streamcam"])
            agreement.append([f"{model}, {precision}", *_compare_logits(), f"{freezing:.1f}"])
    head = ["model, precision, batch", "streamcam, ms", "OpenVINO, ms", "streamcam ÷ OpenVINO", "wanted"]
    agreement_head = ["model, precision", "largest difference", "largest logit", "cosine", "freezing, CPU s"]
    write_section("forward", _text(table(head, rows), table(agreement_head, agreement), versions))


def _measure_in_turns(model: str, precision: str) -> dict[str, list[dict[str, Any]]]:
    pythons = {"streamcam": (sys.executable, "forward_tensorflow.py"), "openvino": (_openvino(), "forward_openvino.py")}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in pythons}
    for number in range(ROUNDS):
        for side, (python, case) in pythons.items():
            log_progress(f"{model}, {precision}, round {number + 1}: {side}")
            out = GRAPHS / f"logits-{side}.bin"
            found[side].append(
                measure([python, CASES / case, GRAPHS, model, precision, out, *map(str, BATCHES)]).report
            )
    return found


def _openvino() -> Path:
    return environments.python("openvino")


def _compare_logits() -> list[str]:
    report = measure([sys.executable, CASES / "forward_agreement.py", *sorted(GRAPHS.glob("logits-*.bin"))]).report
    return [f"{report['difference']:.1e}", f"{report['largest']:.1f}", f"{report['cosine']:.6f}"]


def _text(times: str, agreement: str, versions: dict[str, str]) -> str:
    return f"""## Forward pass

CPU milliseconds per image of the model alone: uint8 images of 224×224 in, logits out, one thread. Both sides read the
same frozen graph; streamcam freezes and rewrites it as in every run, OpenVINO converts and compiles it with the
precision as its hint. Medians of {ROUNDS} rounds of fresh processes in turns, smallest and largest in brackets; ratios
within a round. All but the embedded model have random weights. TensorFlow {versions["streamcam"]}, OpenVINO
{versions["openvino"].partition("-")[0]}. Made by `make bench-forward`.

Machine: {machine_summary()}.

{times}

Their logits on the same {max(BATCHES)} images, and the cost of freezing. In bfloat16 both round, each in its own
places.

{agreement}"""


if __name__ == "__main__":
    main()
