"""What one method costs, in bare forward passes of the same model in the same precision.

python method_costs.py METHOD PRECISION ROUNDS   prints {"bare": [ms a picture], "ratios": [...], "passes": n, ...}

Processor time. A bare forward pass is the model frozen and folded like the kernel: uint8 pictures in, logits out. The
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

from streamcam.config import ModelOptions
from streamcam.engine.devices import share_the_processor
from streamcam.engine.freeze import freeze
from streamcam.engine.graph import find_head
from streamcam.engine.kernel import Kernel, plan_kernel
from streamcam.methods import load_method
from streamcam.models import load_model, parse_target
from streamcam.models.backend import tf

BATCH = 16
SIDE = 224
PARAMS: dict[str, dict[str, Any]] = {
    "scorecam": {"channels": 32},
    "smoothgrad": {"steps": 10},
    "integrated-gradients": {"steps": 10},
    "occlusion": {"patch": 64, "stride": 24},
}
"""Fewer passes than by default, so that a round takes seconds; what is told is the cost of a pass."""


def main() -> None:
    """Times one method."""
    method, precision, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    share_the_processor()
    loaded = load_model(ModelOptions())
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)

    def logits(images: Any) -> list[Any]:
        return [find_head(loaded.call(loaded.preprocess(tf.cast(images, tf.float32)))).logits]

    shape = tf.TensorSpec(pictures.shape, tf.uint8)
    forward = freeze(tf.function(logits, autograph=False).get_concrete_function(shape)).start("cpu", precision)

    def bare() -> None:
        forward(pictures)

    def kernel(name: str) -> Kernel:
        return plan_kernel(
            loaded,
            load_method(name, PARAMS.get(name)),
            layer="auto",
            targets=(parse_target(loaded.labels, "top"),),
            size=(SIDE, SIDE),
            batch=BATCH,
        ).start("cpu", precision)

    timed = kernel(method)
    gradient = kernel("saliency") if timed.passes is not None and timed.passes.mean else None
    others = [one for one in (timed, gradient) if one is not None]
    for _ in range(2):
        bare()
        for one in others:
            one(pictures)
    found: dict[str, list[float]] = {"bare": [], "ratios": [], "gradient": []}
    for _ in range(rounds):
        basis = (spent(bare) + spent(bare)) / 2
        found["bare"].append(basis * 1000 / BATCH)
        found["ratios"].append(spent(lambda: timed(pictures)) / basis)
        if gradient is not None:
            found["gradient"].append(spent(lambda: gradient(pictures)) / basis)
    # Of the passes of an occlusion the last one is of the picture itself.
    count = 0 if timed.passes is None else timed.passes.count - (method == "occlusion")
    print(json.dumps({**found, "passes": count}))


def spent(work: Callable[[], object]) -> float:
    """Processor seconds."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
