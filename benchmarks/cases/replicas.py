"""The maps of a clip from all devices: python replicas.py CLIP [failing]."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from streamcam.engine.runtime.replica import DeviceReplica
from streamcam.errors import DeviceError
from streamcam.options import make_job
from streamcam.pipeline import RunCallbacks, run


def main() -> None:
    digest, indices, since = hashlib.sha256(), [], [0.0]

    def on_ready() -> None:
        since[0] = time.process_time()

    def on_frame(item: Any) -> None:
        digest.update(item.attributions[0].heatmap.tobytes())
        indices.append(item.frame.index)

    if "failing" in sys.argv:
        break_second_batch()
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(sys.argv[1], str(Path(folder, "out.mp4")), device="all", precision="float32", batch=8)
        summary = run(job, callbacks=RunCallbacks(on_ready=on_ready, on_frame=on_frame))
    cpu = (time.process_time() - since[0]) / summary.frames_out
    ordered = indices == list(range(len(indices)))
    print(json.dumps({"frames": summary.frames_out, "ordered": ordered, "digest": digest.hexdigest(), "cpu": cpu}))


def break_second_batch() -> None:
    healthy, runs = DeviceReplica.__call__, []

    def fail_second_batch(self: DeviceReplica, *given: Any, **more: Any) -> Any:
        if self.device == "cpu:1" and "say" not in more:  # the first run, which is no batch, has only that
            runs.append(1)
            if len(runs) == 2:
                raise DeviceError("cpu:1 was made to fail")
        return healthy(self, *given, **more)

    DeviceReplica.__call__ = fail_second_batch  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
