"""What each method costs, and Grad-CAM against other libraries' by itself: ``make bench-methods``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import environments
from common import BENCHMARKS, WORK, format_median, log_progress, machine_summary, measure, table, write_section

CASES = BENCHMARKS / "cases"
ONE_PASS, MANY, ROUNDS_ALONE = 5, 3, 3
"""Rounds of methods of one pass, of methods of many, and of the comparison."""

CAMS = ("gradcam", "gradcam++", "hirescam", "layercam", "eigencam", "activations")
PIXELS = ("saliency", "gradient-x-input", "guided-backprop", "guided-gradcam")
STEPPED = ("smoothgrad", "integrated-gradients", "occlusion", "scorecam")
MAX_RATIO = {
    **dict.fromkeys(CAMS[:5], 1.10),
    **dict.fromkeys(PIXELS[:3], 3.5),
    **dict.fromkeys(STEPPED[:3], 1.15),
    "scorecam": 1.25,
}


def main() -> None:
    """Time everything and write the section."""
    alone = _alone()
    flags = Path("/proc/cpuinfo").read_text()
    precisions = ["float32"] + ["bfloat16"] * ("avx512_bf16" in flags or "amx_bf16" in flags)
    rows = []
    for method in (*CAMS, *PIXELS, *STEPPED):
        row = [method, _unit(method)]
        for precision in precisions:
            if method in STEPPED and precision != "float32":
                row += ["–", "–"]
                continue
            log_progress(f"{method}, {precision}")
            rounds = MANY if method in STEPPED else ONE_PASS
            found = measure([sys.executable, CASES / "method_costs.py", method, precision, rounds]).report
            row += [format_median(found["ratios"], 2), _verdict(method, found)]
        rows.append([*row, f"≤ {MAX_RATIO[method]}" if method in MAX_RATIO else "–"])
    head = ["method", "unit of the second figure"]
    for precision in precisions:
        head += [f"forward passes, {precision}", f"in its unit, {precision}"]
    write_section("methods", _text(table([*head, "wanted"], rows), *alone))


def _unit(method: str) -> str:
    if method in STEPPED[:2]:
        return "steps × saliency"
    return {"occlusion": "patches", "scorecam": "channels"}.get(method, "forward passes")


def _verdict(method: str, found: dict[str, Any]) -> str:
    if method in STEPPED[:2]:
        values = [r / (found["passes"] * g) for r, g in zip(found["ratios"], found["gradient"], strict=True)]
    else:
        values = [ratio / (found["passes"] or 1) for ratio in found["ratios"]]
    return format_median(values, 2)


def _alone() -> tuple[str, str]:
    """Grad-CAM of this and the other libraries, taking turns: a table of times, and one of ratios."""
    for name in ("keras", "torch"):
        environments.make(name)
    clip, weights, form, out = (WORK / name for name in ("4s.mp4", "weights.npz", "closed-form.npz", "alone.npz"))
    if not clip.exists():
        subprocess.run([sys.executable, BENCHMARKS / "clips.py", "4", clip], check=True)
    subprocess.run([sys.executable, CASES / "reference.py", clip, weights, form, out], check=True)
    peer = ["--clip", clip, "--weights", weights, "--out", out, "--alone"]
    commands = {
        "streamcam, auto": [sys.executable, CASES / "method_alone.py", clip, "auto"],
        "streamcam, float32": [sys.executable, CASES / "method_alone.py", clip, "float32"],
        "pytorch-grad-cam": [environments.python("torch"), CASES / "peer_pytorch_grad_cam.py", *peer],
        "tf-keras-vis": [environments.python("keras"), CASES / "peer_tf_keras_vis.py", *peer],
    }
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(ROUNDS_ALONE):
        for name, command in commands.items():
            log_progress(f"round {number + 1}: {name}")
            found[name].append(measure(command).report)
    times = table(
        ["Grad-CAM by itself", "wall, ms per image", "CPU, ms per image"],
        [[name, *(format_median([r[kind] for r in runs]) for kind in ("wall", "cpu"))] for name, runs in found.items()],
    )
    rows = []
    for other, libraries in (("pytorch-grad-cam", 6), ("tf-keras-vis", 8)):
        for ours in ("streamcam, auto", "streamcam, float32"):
            pairs = list(zip(found[other], found[ours], strict=True))
            values = [format_median([a[kind] / b[kind] for a, b in pairs]) for kind in ("wall", "cpu")]
            rows.append([f"{other} ÷ {ours} ({found[ours][0]['precision']})", *values, f"≥ {libraries}"])
    return times, table(["ratio within a round", "wall", "CPU", "wanted"], rows)


def _text(costs: str, times: str, ratios: str) -> str:
    return f"""## Methods

CPU time in bare forward passes of the same model in the same precision (embedded model, 224×224, batches
of 16): frozen and folded likewise, uint8 images in and logits out. Method and bare pass take turns in one process;
medians of {ONE_PASS} rounds ({MANY} for methods of many passes, which run with fewer passes than by default), smallest
and largest in brackets. Methods for which `--precision auto` never takes bfloat16 are not timed in it, except
gradients to the input, to show why. Made by `make bench-methods`.

Machine: {machine_summary()}.

{costs}

Grad-CAM by itself, batches of 16 of the same images with the same weights, {ROUNDS_ALONE} rounds of fresh processes
in turns; TensorFlow with oneDNN in all of them. The peers' maps are checked by `make bench-peers`.
streamcam's compiled method has half of the cores, as in a run; the peers have all.

{times}

{ratios}"""


if __name__ == "__main__":
    main()
