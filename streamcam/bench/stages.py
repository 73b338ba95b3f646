"""The stages that a benchmark measures, and how it times them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compose import FrameRenderer, renderer_count
from ..compose.renderer import pad_to_even
from ..concurrency.group import StageTimer
from ..engine import load_explainer
from ..frames import CaptionFacts, ExplainedFrame, SourceInfo
from ..pipeline import RENDER_QUEUE_DEPTH, RunCallbacks, run
from ..sinks import open_sink
from ..sources import open_source
from ..sources.resize import InputResizer
from ..stages import batched, prefetch_depth
from ..summary import Summary
from .analysis import PIPELINE_STAGES
from .case import Case, Stage
from .warm_up import explain_batches, load_warm_up, ping_pong, read_frames, warm_up

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def _decode(case: Case) -> dict[str, Any]:
    job, warm, _ = case.job(), *load_warm_up(case)

    def work() -> None:
        with open_source(job.source) as source:
            resizer = InputResizer(warm.geometry(source.info), source.info.color)
            for frame in source:
                resizer(frame.model_source)

    return _measure(case, work)


def _model(case: Case) -> dict[str, Any]:
    from ..engine.runtime.devices import peak_memory_bytes

    job = case.job()
    with open_source(job.source) as source:
        explainer, prepared, compile_seconds = _compile(case, source.info)
        resizer = InputResizer(prepared.geometry, source.info.color)
        first, *others = read_frames(source, source.info)
        # All share the first video frame: the model reads only `model_input`, and memory is scarce.
        scaled = [
            replace(frame, video_frame=first.video_frame, rgb_frame=None, model_input=resizer(frame.model_source))
            for frame in (first, *others)
        ]
    frames = [scaled[n] for n in islice(ping_pong(len(scaled)), case.frames)]

    def work() -> None:
        batches = batched(frames, prepared.executable.batch, max_length=prepared.executable.batch)
        for _ in explain_batches(explainer, prepared, batches, StageTimer()):
            pass

    report = _measure(case, work)
    return {
        **report,
        "compile_seconds": compile_seconds,
        "device_memory_bytes": peak_memory_bytes(prepared.device),
        "precision": prepared.executable.precision,
    }


def _draw(case: Case) -> dict[str, Any]:
    renderer, items = _load_renderer(case)

    def work() -> None:
        for n in islice(ping_pong(len(items)), case.frames):
            renderer.draw(items[n])

    return _measure(case, work)


def _encode(case: Case) -> dict[str, Any]:
    with open_source(case.job().source) as source:
        info = source.info
    renderer, items = _load_renderer(case)
    video_frames = [renderer.draw(item) for item in items]
    return _measure(case, lambda: _write_frames(case, info, video_frames))


def _write_frames(case: Case, info: SourceInfo, video_frames: list[VideoFrame]) -> None:
    step = max(1, round(1 / ((info.average_fps or 25) * info.time_base)))
    # One encoder: frames are written again and again, and may not wait in the sink.
    with open_sink(replace(case.job().sink, encoders=1), info) as sink:
        for count, n in enumerate(islice(ping_pong(len(video_frames)), case.frames)):
            sink.write(video_frames[n], count * step)


def _encode_source(case: Case) -> dict[str, Any]:
    """Encode the same frames without a map."""
    job = case.job()
    with open_source(job.source) as source:
        info, frames = source.info, read_frames(source, source.info)
    video_frames = [pad_to_even(frame, info) for frame in frames]
    return _measure(case, lambda: _write_frames(case, info, video_frames))


def _transcode(case: Case) -> dict[str, Any]:
    job = case.job()

    def work() -> None:
        with open_source(job.source) as source, open_sink(job.sink, source.info) as sink:
            for frame in source:
                sink.write(pad_to_even(frame, source.info), frame.pts)

    return _measure(case, work)


def _end_to_end(case: Case) -> dict[str, Any]:
    from ..engine.runtime.devices import peak_memory_bytes

    job = case.job()
    with open_source(job.source) as source:
        explainer, prepared, compile_seconds = _compile(case, source.info)
    latencies: list[list[float]] = []
    summaries: list[Summary] = []

    def work() -> None:
        latencies.append([])
        callbacks = RunCallbacks(on_frame=lambda item: latencies[-1].append(time.monotonic() - item.frame.arrival_time))
        summaries.append(run(job, explainer=explainer, callbacks=callbacks))

    report = _measure(case, work)
    draw_depth = prefetch_depth(RENDER_QUEUE_DEPTH, source.info, frames_per_item=3)
    threads = {
        "model": prepared.concurrency * len(prepared.replicas),
        "draw": renderer_count(source.info, draw_depth),
    }
    wall_seconds = sum(summary.wall_seconds for summary in summaries[1:])
    busy = {
        stage: sum(summary.stage_seconds[stage] for summary in summaries[1:]) / wall_seconds / threads.get(stage, 1)
        for stage in PIPELINE_STAGES
    }
    p50, p99 = np.percentile(np.concatenate(latencies[1:]), [50, 99])
    return {
        **report,
        "compile_seconds": compile_seconds,
        "device_memory_bytes": peak_memory_bytes(prepared.device),
        "precision": prepared.executable.precision,
        "latency_p50_seconds": float(p50),
        "latency_p99_seconds": float(p99),
        "busy": busy,
    }


def _forward(case: Case) -> dict[str, Any]:
    from ..engine.runtime.background_xla import COMPILING_RUNS
    from ..engine.runtime.devices import peak_memory_bytes
    from ..engine.runtime.forward import load_forward

    job, warm, _ = case.job(), *load_warm_up(case)
    compile_seconds = time.perf_counter()
    width, height = warm.input
    forward = load_forward(job.model, warm.input, case.batch, case.precision, case.device, xla=case.xla)
    noise = np.random.default_rng(0).integers(0, 256, (case.batch, height, width, 3), np.uint8)
    for _ in range(COMPILING_RUNS if case.xla else 1):
        forward(noise)
    compile_seconds = time.perf_counter() - compile_seconds
    calls = -(-case.frames // case.batch)

    def work() -> None:
        for _ in range(calls):
            forward(noise)

    report = _measure(replace(case, frames=calls * case.batch), work)
    return {**report, "compile_seconds": compile_seconds, "device_memory_bytes": peak_memory_bytes(case.device)}


STAGES: dict[Stage, Callable[[Case], dict[str, Any]]] = {
    "warm_up": warm_up,
    "decode": _decode,
    "model": _model,
    "draw": _draw,
    "encode": _encode,
    "encode_source": _encode_source,
    "transcode": _transcode,
    "end_to_end": _end_to_end,
    "forward": _forward,
}
"""Stage → its report: seconds per frame of each repeat, and more."""


def _measure(case: Case, work: Callable[[], None]) -> dict[str, Any]:
    """Run the work once to warm up, then time each repeat."""
    wall, cpu = [], []
    for _ in range(case.repeats + 1):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - started[0]) / case.frames)
        cpu.append((time.process_time() - started[1]) / case.frames)
    return {"wall": wall[1:], "cpu": cpu[1:], "memory_bytes": _peak_memory_bytes()}


def _peak_memory_bytes() -> int | None:
    """Return the peak memory of this process; None if the system does not report it."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _compile(case: Case, info: SourceInfo) -> tuple[Any, Any, float]:
    """Load and compile; return the seconds of compiling and of the first run too."""
    job = case.job()
    explainer = load_explainer(job.model, job.explain, limit_threads=True)
    started = time.perf_counter()
    prepared = explainer.prepare(info)
    seconds = time.perf_counter() - started
    if case.xla:
        prepared.compile_now(always=True)
    return explainer, prepared, seconds


def _load_renderer(case: Case) -> tuple[FrameRenderer, list[ExplainedFrame]]:
    """Make a renderer, and frames for it."""
    job, warm, maps = case.job(), *load_warm_up(case)
    with open_source(job.source) as source:
        info, frames = source.info, read_frames(source, source.info)
    geometry = warm.geometry(info)
    renderer = FrameRenderer(job.draw, info, geometry, facts=CaptionFacts(*warm.caption_facts), map_kind=warm.map_kind)
    return renderer, warm.attach_maps(frames, maps)
