"""Cost of a record, and speed of drawing it again: ``make bench-record``.

Cost is a ratio within one run: CPU time of the calls that record, in their threads, to that of the whole process
without loading. Runs and renderings of the same frames alternate in one process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import REPOSITORY, log_progress, machine_summary, table, write_section

from streamcam import prepare
from streamcam.engine import load_explainer
from streamcam.job import Job, RenderJob
from streamcam.pipeline import RunCallbacks, run
from streamcam.prepare_render import make_render_job
from streamcam.record import RecordStore, RecordWriter, open_record, writer

ROUNDS = 3
_COUNTED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (prepare, ("plan_run",)),
    (RecordWriter, ("add",)),
    (RecordStore, ("add", "complete", "finish")),
    (writer, ("pack_chunk",)),
)
CASES = (
    ("samoyed_640_nogps.mp4", "gradcam"),
    ("cockatoo.mp4", "gradcam"),
    ("samoyed_1080p_nogps.mp4", "gradcam"),
    ("samoyed_640_nogps.mp4", "saliency"),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU and wall seconds a frame, without loading, and the part of the CPU time that recording took."""

    cpu: float
    wall: float
    record_share: float


@contextmanager
def counted_recording() -> Iterator[Callable[[], float]]:
    """Count the CPU seconds of planning and of the writer's calls, each in its thread."""
    lock, seconds = threading.Lock(), [0.0]
    originals = [(owner, name, getattr(owner, name)) for owner, names in _COUNTED for name in names]
    nested = threading.local()

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if getattr(nested, "inside", False):
                return method(*arguments, **named)
            nested.inside, started = True, time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                nested.inside = False
                with lock:
                    seconds[0] += time.thread_time() - started

        return call

    for owner, name, method in originals:
        setattr(owner, name, counted(method))
    try:
        yield lambda: seconds[0]
    finally:
        for owner, name, method in originals:
            setattr(owner, name, method)


def timed(job: Job | RenderJob, explainer: Any = None) -> Timing:
    """Run a job."""
    started = [0.0]

    def on_ready() -> None:
        started[0] = time.process_time()

    with counted_recording() as recorded:
        summary = run(job, explainer=explainer, callbacks=RunCallbacks(on_ready=on_ready))
        cpu = time.process_time() - started[0]
    return Timing(cpu / summary.frames_out, summary.wall_seconds / summary.frames_out, recorded() / cpu)


def measure_case(clip: str, method: str, end: float | None) -> list[str]:
    """Return a row of the table."""
    log_progress(f"{clip} {method}")
    source = REPOSITORY / "samples" / clip
    options: dict[str, Any] = {"method": method, "end": end, "overwrite": True}
    first = Job.from_options(source, "any.mp4", **options)
    explainer = load_explainer(first.model, first.explain, limit_threads=True)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        out, record = Path(folder, "out.mp4"), Path(folder, "out.mp4.streamcam")
        for number in range(ROUNDS + 1):
            plain = timed(Job.from_options(source, out, **options), explainer)
            kept = timed(Job.from_options(source, out, **options, record="auto"), explainer)
            again = timed(make_render_job(record, Path(folder, "again.mp4"), overwrite=True))
            if number:  # the first round compiles
                rounds.append((plain, kept, again))
        opened = open_record(record)
        size = sum(one.stat().st_size for one in record.iterdir()) / len(opened)
        shape = opened.chunks[0].maps.shape

    def median(value: Callable[[tuple[Timing, Timing, Timing]], float]) -> float:
        return statistics.median(map(value, rounds))

    return [
        f"{clip}, {method}",
        f"{shape[3]}x{shape[2]}",
        f"{size / 1000:.1f}",
        f"{median(lambda r: r[1].record_share):.2%}",
        f"{1000 * median(lambda r: r[0].cpu):.1f}",
        f"{1000 * median(lambda r: r[2].cpu):.1f}",
        f"{median(lambda r: r[0].cpu / r[2].cpu):.2f}",
        f"{median(lambda r: r[0].wall / r[2].wall):.2f}",
    ]


def main() -> None:
    """Measure and write the section."""
    end = float(sys.argv[1]) if len(sys.argv) > 1 else None
    rows = [measure_case(clip, method, end) for clip, method in CASES]
    head = (
        "clip, method", "map", "kB a frame", "recording ÷ CPU of its run", "direct, CPU ms a frame",
        "render, CPU ms a frame", "direct ÷ render, CPU", "direct ÷ render, time",
    )  # fmt: skip
    text = f"""
## Records

`process --record` and `render` with the embedded model and default options{f", first {end:g} s" if end else ""},
medians of {ROUNDS} rounds that alternate. Loading is not counted. Recording is the CPU time of the writer's calls in
their threads, in the same run. Made by `make bench-record`.

Machine: {machine_summary()}.

{table(head, rows)}
"""
    write_section("record", text)


if __name__ == "__main__":
    main()
