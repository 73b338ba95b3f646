"""What one method costs, in bare forward passes of the same model in the same precision.

python method_costs.py METHOD PRECISION ROUNDS   prints {"bare": [ms per image], "ratios": [...], "passes": n, ...}

CPU time. A bare forward pass is the model frozen and folded like the compiled method: uint8 images in, logits out. The
two take turns, so that a machine that slows down slows both. For methods of many passes the gradient alone
(``saliency``) takes its turns too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from streamcam.engine.compile import compile_method
from streamcam.engine.compiled_method import Executable
from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.graph.logits import find_logits
from streamcam.engine.runtime.devices import limit_intra_op_threads
from streamcam.methods import load_method
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import tf

BATCH = 16
SIDE = 224
PARAMS: dict[str, dict[str, Any]] = {
    "scorecam": {"channels": 32},
    "smoothgrad": {"steps": 10},
    "integrated-gradients": {"steps": 10},
    "occlusion": {"patch": 64, "stride": 24},
}
"""Fewer passes than by default, so that a round takes seconds; the result is the cost of a pass."""


def main() -> None:
    """Time one method."""
    method, precision, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    limit_intra_op_threads()
    loaded = load_model(ModelOptions())
    rgb_images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)

    def logits(images: Any) -> list[Any]:
        return [find_logits(loaded.call(loaded.preprocess(tf.cast(images, tf.float32)))).logits]

    shape = tf.TensorSpec(rgb_images.shape, tf.uint8)
    forward = freeze(tf.function(logits, autograph=False).get_concrete_function(shape)).load("cpu", precision)

    def run_forward() -> None:
        forward(rgb_images)

    def build_executable(name: str) -> Executable:
        return compile_method(
            loaded,
            load_method(name, PARAMS.get(name)),
            layer="auto",
            size=(SIDE, SIDE),
            batch=BATCH,
        ).load("cpu", precision)

    executable = build_executable(method)
    gradient = build_executable("saliency") if executable.passes is not None and executable.passes.is_mean else None
    others = [one for one in (executable, gradient) if one is not None]
    for _ in range(2):
        run_forward()
        for one in others:
            one(rgb_images)
    found: dict[str, list[float]] = {"bare": [], "ratios": [], "gradient": []}
    for _ in range(rounds):
        basis = (cpu_seconds(run_forward) + cpu_seconds(run_forward)) / 2
        found["bare"].append(basis * 1000 / BATCH)
        found["ratios"].append(cpu_seconds(lambda: executable(rgb_images)) / basis)
        if gradient is not None:
            found["gradient"].append(cpu_seconds(lambda: gradient(rgb_images)) / basis)
    # Of the passes of an occlusion the last one is of the image itself.
    count = 0 if executable.passes is None else executable.passes.num_passes - (method == "occlusion")
    print(json.dumps({**found, "passes": count}))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that the work takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
