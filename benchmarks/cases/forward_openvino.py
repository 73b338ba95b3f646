"""The forward pass by OpenVINO: python forward_openvino.py FOLDER MODEL PRECISION LOGITS BATCH...

Prints {"cpu": {batch: ms per image}, ...}; the first batch's logits are written. With one thread and one stream the
hints LATENCY and THROUGHPUT are the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import forward_timing
import numpy as np
import openvino


def main() -> None:
    """Time one model."""
    folder, model, precision, out = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    rgb_images = np.load(folder / "images.npy")
    core, cpu = openvino.Core(), {}
    for batch in map(int, sys.argv[5:]):
        converted = openvino.convert_model(folder / f"{model}-{batch}.pb")
        request = core.compile_model(converted, "CPU", options).create_infer_request()
        images = rgb_images[:batch]

        def run(request: Any = request, images: Any = images) -> Any:
            return request.infer([images])[0]

        if not cpu:
            run().astype(np.float32).tofile(out)
        cpu[batch] = forward_timing.time_per_image(run, batch)
    print(json.dumps({"cpu": cpu, "version": openvino.__version__}))


if __name__ == "__main__":
    main()
