"""The forward pass as streamcam runs it.

python forward_tensorflow.py FOLDER MODEL PRECISION LOGITS BATCH...

Prints {"cpu": {batch: ms per image}, "freezing": seconds, ...}; the first batch's logits are written.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import forward_timing
import numpy as np

from streamcam.engine.compiler.freeze import freeze
from streamcam.tf import tf


def main() -> None:
    """Time one model."""
    folder, model, precision, out = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    rgb_images = np.load(folder / "images.npy")
    cpu, freezing = {}, []
    for batch in map(int, sys.argv[5:]):
        traced = _trace(folder / f"{model}-{batch}.pb", batch)
        started = time.process_time()
        forward = freeze(traced).load("cpu", precision)
        freezing.append(time.process_time() - started)
        images = rgb_images[:batch]

        def run(forward: Any = forward, images: Any = images) -> Any:
            return forward(images)[0]

        if not cpu:
            run().astype(np.float32).tofile(out)
        cpu[batch] = forward_timing.time_per_image(run, batch)
    print(json.dumps({"cpu": cpu, "freezing": freezing[0], "version": tf.__version__}))


def _trace(path: Path, batch: int) -> Any:
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(path.read_bytes())

    def import_graph(images: Any) -> Any:
        return tf.graph_util.import_graph_def(graph_def, {"images": images}, ["logits:0"])

    return tf.compat.v1.wrap_function(import_graph, [tf.TensorSpec((batch, 224, 224, 3), tf.uint8)])


if __name__ == "__main__":
    main()
