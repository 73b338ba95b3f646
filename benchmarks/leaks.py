"""Memory while explainers are made, used once and dropped: ``make bench-leaks``.

The model is a small one that stays; methods of one pass, of guided ReLUs and of many passes take turns.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
from pathlib import Path

from common import format_median, log_progress, machine_summary, measure, table, write_section

EXPLAINERS = 1000
EVERY = 50
METHODS = ("gradcam", "guided-backprop", "eigencam", "occlusion", "smoothgrad")
PARAMS = {"occlusion": {"patch": 16}, "smoothgrad": {"steps": 2}}


def resident_mib() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_case() -> None:
    """Make the explainers in this process; print the memory on the way."""
    import numpy as np

    import streamcam
    from streamcam.tf import keras

    layers = keras.layers
    x = inputs = keras.Input((32, 48, 3))
    for filters in (8, 12):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, strides=2, padding="same")(x)))
    x = layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    memory = []
    for number in range(1, EXPLAINERS + 1):
        method = METHODS[number % len(METHODS)]
        explainer = streamcam.Explainer(model, method, params=PARAMS.get(method), precision="float32")
        explainer.explain(image)
        if number % EVERY == 0:
            del explainer
            gc.collect()
            memory.append(round(resident_mib(), 1))
            log_progress(f"{number}: {memory[-1]} MiB")
    print(json.dumps({"memory": memory}))


def main() -> None:
    """Run the case and write its section."""
    memory = measure([sys.executable, __file__, "case"]).report["memory"]
    half = len(memory) // 2
    made = [EVERY * (number + 1) for number in range(len(memory))]
    slope = statistics.linear_regression(made[1:], memory[1:]).slope
    rows = [
        ["first half", format_median(memory[:half]), f"{memory[0]:,.1f}", f"{memory[half - 1]:,.1f}"],
        ["second half", format_median(memory[half:]), f"{memory[half]:,.1f}", f"{memory[-1]:,.1f}"],
    ]
    write_section(
        "leaks",
        f"""## Explainers made and dropped

{EXPLAINERS:,} of `streamcam.Explainer` on one small model, each used on one image; {", ".join(METHODS)}
take turns. Resident memory after every {EVERY}, with the collector run before. Made by `make bench-leaks`.

Machine: {machine_summary()}.

{table(["MiB", "median (smallest–largest)", "begin", "end"], rows)}

The straight line through all but the first changes by {slope * 1024:+.1f} KiB an explainer.""",
    )


if __name__ == "__main__":
    run_case() if sys.argv[1:] == ["case"] else main()
