"""Several inputs one by one and at once: python inputs.py KIND COUNT FRAMES ROUNDS.

KIND is image, short or video. Prints the seconds and CPU seconds of each round, both ways in turn, as JSON. At once
means as many as streamcam itself runs; for videos at least two.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType
from PIL import Image

from streamcam.concurrency.capacity import VIDEO_CORES, Capacity
from streamcam.concurrent_jobs import ConcurrentJobs
from streamcam.engine import load_explainer
from streamcam.job import Job
from streamcam.pipeline import RunCallbacks

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "samoyed_1080p_nogps.mp4"


def main() -> None:
    kind, count, frames, rounds = sys.argv[1], *map(int, sys.argv[2:5])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suffix = ".png" if kind == "image" else ".mp4"
        inputs = [folder / f"input-{number:03}{suffix}" for number in range(count)]
        write_image(inputs[0]) if kind == "image" else write_clip(inputs[0], frames)
        for path in inputs[1:]:
            path.write_bytes(inputs[0].read_bytes())
        jobs = [Job.from_options(path, path.with_stem(f"out-{path.stem}"), overwrite=True) for path in inputs]
        explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True)
        capacity = Capacity.of_this_machine(explainer.pool.devices)
        if kind == "video":
            capacity = Capacity(max(capacity.cores, 2 * VIDEO_CORES), capacity.memory_bytes, capacity.has_gpu)
        run_all(jobs, explainer, capacity, one_at_a_time=True)  # compiles the method
        found: dict[str, list[Any]] = {"alone": [], "at_once": []}
        for _ in range(rounds):
            found["alone"].append(run_all(jobs, explainer, capacity, one_at_a_time=True))
            found["at_once"].append(run_all(jobs, explainer, capacity, one_at_a_time=False))
    print(json.dumps({**found, "cores": Capacity.of_this_machine(explainer.pool.devices).cores}))


def run_all(jobs: list[Job], explainer: Any, capacity: Capacity, *, one_at_a_time: bool) -> dict[str, float]:
    """Seconds, CPU seconds and the most inputs in progress."""
    begun, ended, most = 0, 0, 0

    def begin(index: int) -> RunCallbacks:
        nonlocal begun, most
        begun += 1
        most = max(most, begun - ended)
        return RunCallbacks()

    wall, cpu = time.perf_counter(), time.process_time()
    for result in ConcurrentJobs(jobs, explainer, capacity=capacity, one_at_a_time=one_at_a_time, callbacks=begin):
        ended += 1
        if result.error is not None:
            raise result.error
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "at_once": most,
        "memory_mib": memory_mib,
    }


def write_image(path: Path) -> None:
    with av.open(str(SAMPLE)) as container:
        frame = next(container.decode(video=0))
        Image.fromarray(frame.to_ndarray(format="rgb24")).save(path)


def write_clip(path: Path, frames: int) -> None:
    with av.open(str(SAMPLE)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        codec = source.streams.video[0].codec_context
        stream.width, stream.height, stream.pix_fmt = codec.width, codec.height, "yuv420p"
        written = 0
        while written < frames:
            source.seek(0)
            for frame in source.decode(video=0):
                image = frame.reformat(format="yuv420p")
                image.pts, image.time_base, image.pict_type = written, Fraction(1, 25), PictureType.NONE
                container.mux(stream.encode(image))
                written += 1
                if written == frames:
                    break
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
