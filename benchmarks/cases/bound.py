"""The bound: a plain transcode with streamcam's codec settings, then bare forward passes of the frozen model.

Nothing is explained or drawn, no frame goes from one part to the other, and none of streamcam's code runs: what
streamcam needs beyond this is its own doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

from pathlib import Path

import av
import lite0
import lite0_constants
import loop
import numpy as np
import tensorflow as tf
from av.video.frame import PictureType

BATCH = 16
GOP = 50


def main() -> None:
    options = loop.arguments()
    started = time.process_time()
    frames = transcode(options.clip, options.out, options.encoder)
    transcoded = time.process_time()
    bfloat16 = cpu_has_bfloat16()
    predict_cpu = forward(options.weights, frames, bfloat16=bfloat16)
    stages = {"transcode": transcoded - started, "forward": predict_cpu}
    packages = {module.__name__: module.__version__ for module in (av, tf, np)}
    precision = "bfloat16" if bfloat16 else "float32"
    print(json.dumps({"frames": frames, "stage_cpu": stages, "precision": precision, "packages": packages}))


def transcode(clip: Path, out: Path, encoder: dict[str, str]) -> int:
    """Decode and encodes the video; return the number of frames."""
    frames = 0
    with av.open(str(clip)) as source, av.open(str(out), "w") as sink:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        stream = sink.add_stream("libx264", rate=video.average_rate, options=encoder)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.time_base = video.time_base
        stream.codec_context.gop_size = GOP
        for frame in source.decode(video):
            frame.pict_type = PictureType.NONE
            sink.mux(stream.encode(frame))
            frames += 1
        sink.mux(stream.encode())
    return frames


def forward(weights: Path, frames: int, *, bfloat16: bool) -> float:
    """CPU seconds of forward passes for so many frames, without the first, compiling pass."""
    # The cheapest way: 13.0 CPU ms a frame on one thread, 14.7 on two, and a bound has no use for the latency.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": bfloat16})
    network = lite0_constants.build(weights)
    specification = tf.TensorSpec((BATCH, lite0.INPUT, lite0.INPUT, 3), tf.uint8)
    predict = tf.function(lambda images: network(images)[0], autograph=False).get_concrete_function(specification)
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, lite0.INPUT, lite0.INPUT, 3), np.uint8)
    predict(tf.constant(noise))
    started = time.process_time()
    for _ in range(-(-frames // BATCH)):
        predict(tf.constant(noise)).numpy()
    return time.process_time() - started


def cpu_has_bfloat16() -> bool:
    with contextlib.suppress(OSError):
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    return False


if __name__ == "__main__":
    main()
