"""What each stage of a benchmark does, and how it is timed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compose import FrameRenderer
from ..compose.renderer import pad_to_even
from ..concurrency.group import StageGroup, StageTimer, batched
from ..engine import load_explainer
from ..frames import Attribution, Batch, ExplainedFrame, Frame, MapKind, SourceInfo
from ..geometry import Geometry
from ..options import TemporalOptions
from ..pipeline import RunCallbacks, run
from ..sinks import open_sink
from ..sources import open_source
from ..temporal import normalize_maps
from .clip import synthetic_size, write_synthetic

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..engine.explainer import FrameExplainer, PreparedSource
    from .worker import Case

_MAX_CACHED_BYTES = 2**28
"""Most that is kept of decoded or drawn pictures."""

_MIN_MAPS = 8
_EXPLAIN_SECONDS = 5.0
"""Least number of maps that are drawn, and seconds in which more are made: one for each picture where they suffice.
Maps that move with the scene are dearer to encode than a few that come again and again."""


@dataclass(frozen=True, slots=True)
class _WarmUpResult:
    """What a stage without a model needs to know of it; beside it lie the maps, float32 ``(n, h, w)``."""

    input: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    caption_detail: str
    map_kind: MapKind
    labels: list[str]
    probabilities: list[float | None]

    def geometry(self, info: SourceInfo) -> Geometry:
        return Geometry((info.width, info.height), self.input, self.scaled, self.offset)

    def attach_maps(self, frames: list[Frame], maps: Any) -> list[ExplainedFrame]:
        """Frames with maps as they would come from the model."""
        items = [
            ExplainedFrame(frame, (Attribution(maps[n], self.labels[n], 0.0, self.probabilities[n], 0),))
            for frame, n in zip(frames, _ping_pong(len(maps)), strict=False)
        ]
        return list(normalize_maps(items, TemporalOptions(), self.map_kind))


def _warm_up(case: Case) -> dict[str, Any]:
    """Looks at the clip and the model once: every mistake in the options comes up here."""
    from ..compose import report_environment as compose_environment
    from ..engine import describe_devices
    from ..sinks import report_environment
    from ..sources.resize import InputResizer

    clip, work_dir = case.clip, Path(case.work_dir)
    if size := synthetic_size(clip):
        clip = str(work_dir / "clip.mp4")
        write_synthetic(Path(clip), size, case.frames)
    case = replace(case, clip=clip)
    job = case.job()
    decode_seconds = time.perf_counter()
    with open_source(job.source) as source, open_sink(job.sink, source.info):
        info, frames = source.info, _read_frames(source, source.info)[: case.frames]
    decode_seconds = (time.perf_counter() - decode_seconds) / len(frames)
    load_seconds = time.perf_counter()
    explainer = load_explainer(job.model, job.explain, limit_threads=True)
    prepared = explainer.prepare(info)
    load_seconds = time.perf_counter() - load_seconds
    resizer = InputResizer(prepared.geometry, info.color)
    scaled = [replace(frame, model_input=resizer(frame.video_frame)) for frame in frames]
    timer = StageTimer()
    batches = batched(scaled, prepared.executable.batch, max_length=prepared.executable.batch)
    items = list(_until_deadline(_explain(explainer, prepared, batches, timer)))
    warm_up = _WarmUpResult(
        input=prepared.geometry.input,
        scaled=prepared.geometry.scaled,
        offset=prepared.geometry.offset,
        caption_detail=prepared.caption_detail(explainer.method),
        map_kind=explainer.display,
        labels=[item.attributions[0].label for item in items],
        probabilities=[item.attributions[0].probability for item in items],
    )
    (work_dir / "prepared.json").write_text(json.dumps(asdict(warm_up)))
    np.save(work_dir / "maps.npy", np.stack([item.attributions[0].heatmap for item in items]))
    media, engine_report = report_environment(), describe_devices()
    return {
        "clip": clip,
        "size": [info.width, info.height],
        "model": explainer.info.name,
        "input": list(prepared.geometry.input),
        "layer": prepared.executable.layer,
        "method": explainer.method,
        "device": prepared.device,
        "precision": prepared.executable.precision,
        "startup": load_seconds,
        "seconds": {"decode": decode_seconds, "model": timer.seconds["model"] / len(items)},
        **engine_report,
        "software": {
            **engine_report["software"],
            "pyav": media["pyav"],
            "ffmpeg": media["ffmpeg"],
            **compose_environment(),
        },
    }


def _decode(case: Case) -> dict[str, Any]:
    from ..sources.resize import InputResizer

    job, warm_up, _ = case.job(), *_load_warm_up(case)

    def work() -> None:
        with open_source(job.source) as source:
            resizer = InputResizer(warm_up.geometry(source.info), source.info.color)
            for frame in source:
                resizer(frame.video_frame)

    return _measure(case, work)


def _model(case: Case) -> dict[str, Any]:
    from ..engine.runtime.devices import peak_memory_bytes
    from ..sources.resize import InputResizer

    job = case.job()
    with open_source(job.source) as source:
        explainer, view, compile_seconds = _compile(case, source.info)
        resizer = InputResizer(view.geometry, source.info.color)
        first, *others = _read_frames(source, source.info)
        # All with the first one's picture: the model never looks at it, and memory is scarce.
        scaled = [
            replace(frame, video_frame=first.video_frame, model_input=resizer(frame.video_frame))
            for frame in (first, *others)
        ]
    frames = [scaled[n] for n in islice(_ping_pong(len(scaled)), case.frames)]

    def work() -> None:
        batches = batched(frames, view.kernel.batch, max_length=view.kernel.batch)
        for _ in _explain(explainer, view, batches, StageTimer()):
            pass

    report = _measure(case, work)
    return {
        **report,
        "compile_seconds": compile_seconds,
        "device_memory_bytes": peak_memory_bytes(view.device),
        "precision": view.kernel.precision,
    }


def _draw(case: Case) -> dict[str, Any]:
    painter, items = _load_painter(case)

    def work() -> None:
        for n in islice(_ping_pong(len(items)), case.frames):
            painter.draw(items[n])

    return _measure(case, work)


def _encode(case: Case) -> dict[str, Any]:
    with open_source(case.job().source) as source:
        info = source.info
    painter, items = _load_painter(case)
    video_frames = [painter.draw(item) for item in items]
    return _measure(case, lambda: _write_frames(case, info, video_frames))


def _write_frames(case: Case, info: SourceInfo, video_frames: list[VideoFrame]) -> None:
    step = max(1, round(1 / ((info.average_fps or 25) * info.time_base)))
    with open_sink(case.job().sink, info) as sink:
        for count, n in enumerate(islice(_ping_pong(len(video_frames)), case.frames)):
            sink.write(video_frames[n], count * step)


def _encode_source(case: Case) -> dict[str, Any]:
    """`_encode` of the same pictures before anything is drawn on them."""
    job = case.job()
    with open_source(job.source) as source:
        info, frames = source.info, _read_frames(source, source.info)
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
        explainer, view, compile_seconds = _compile(case, source.info)
    latencies: list[list[float]] = []

    def work() -> None:
        latencies.append([])
        callbacks = RunCallbacks(on_frame=lambda item: latencies[-1].append(time.monotonic() - item.frame.arrival_time))
        run(job, explainer=explainer, callbacks=callbacks)

    report = _measure(case, work)
    p50, p99 = np.percentile(np.concatenate(latencies[1:]), [50, 99])
    return {
        **report,
        "compile_seconds": compile_seconds,
        "device_memory_bytes": peak_memory_bytes(view.device),
        "precision": view.kernel.precision,
        "latency_p50": float(p50),
        "latency_p50_seconds": float(p99),
    }


def _forward(case: Case) -> dict[str, Any]:
    from ..engine.runtime.devices import peak_memory_bytes
    from ..engine.runtime.forward import load_forward

    job, warm_up, _ = case.job(), *_load_warm_up(case)
    compile_seconds = time.perf_counter()
    width, height = warm_up.input
    forward = load_forward(job.model, warm_up.input, case.batch, case.precision, case.device)
    noise = np.random.default_rng(0).integers(0, 256, (case.batch, height, width, 3), np.uint8)
    forward(noise)
    compile_seconds = time.perf_counter() - compile_seconds
    calls = -(-case.frames // case.batch)

    def work() -> None:
        for _ in range(calls):
            forward(noise)

    report = _measure(replace(case, frames=calls * case.batch), work)
    return {**report, "compile_seconds": compile_seconds, "device_memory_bytes": peak_memory_bytes(case.device)}


STAGES: dict[str, Callable[[Case], dict[str, Any]]] = {
    "prepare": _warm_up,
    "decode": _decode,
    "model": _model,
    "draw": _draw,
    "encode": _encode,
    "encode_plain": _encode_source,
    "transcode": _transcode,
    "whole": _end_to_end,
    "forward": _forward,
}
"""Stage -> its report: seconds a frame of each repeat and what else it can tell."""


def _measure(case: Case, work: Callable[[], None]) -> dict[str, Any]:
    """Does the work once to warm up and then as often as it is to be timed."""
    wall, cpu = [], []
    for _ in range(case.repeats + 1):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - started[0]) / case.frames)
        cpu.append((time.process_time() - started[1]) / case.frames)
    return {"wall": wall[1:], "cpu": cpu[1:], "memory_bytes": _peak_memory_bytes()}


def _peak_memory_bytes() -> int | None:
    """Most bytes this process has had in memory; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _compile(case: Case, info: SourceInfo) -> tuple[Any, Any, float]:
    """Explainer, view and the seconds it took to compile the view and to run it first."""
    job = case.job()
    explainer = load_explainer(job.model, job.explain, limit_threads=True)
    started = time.perf_counter()
    view = explainer.prepare(info)
    return explainer, view, time.perf_counter() - started


def _explain(
    explainer: FrameExplainer, view: PreparedSource, batches: Iterator[Batch], timer: StageTimer
) -> Iterator[ExplainedFrame]:
    """What the road makes of batches, on all of the view's devices."""
    workers = explainer.workers(view.replicas, timer)
    with StageGroup() as group:
        yield from explainer.explain(group.map_ordered(batches, workers, depth=1, threads=view.concurrency))


def _until_deadline(items: Iterator[ExplainedFrame]) -> Iterator[ExplainedFrame]:
    """As many as come before time is up."""
    started = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count >= _MIN_MAPS and time.monotonic() - started > _EXPLAIN_SECONDS:
            return


def _load_warm_up(case: Case) -> tuple[_WarmUpResult, Any]:
    work_dir = Path(case.work_dir)
    saved = json.loads((work_dir / "prepared.json").read_text())
    sizes = {name: tuple(saved[name]) for name in ("input", "scaled", "offset")}
    return _WarmUpResult(**{**saved, **sizes}), np.load(work_dir / "maps.npy")


def _load_painter(case: Case) -> tuple[FrameRenderer, list[ExplainedFrame]]:
    """A painter and frames for it."""
    job, warm_up, maps = case.job(), *_load_warm_up(case)
    with open_source(job.source) as source:
        info, frames = source.info, _read_frames(source, source.info)
    geometry = warm_up.geometry(info)
    painter = FrameRenderer(job.draw, info, geometry, detail=warm_up.caption_detail, display=warm_up.map_kind)
    return painter, warm_up.attach_maps(frames, maps)


def _read_frames(frames: Any, info: SourceInfo) -> list[Frame]:
    """As many frames as memory has room for."""
    size = info.width * info.height * 3 // 2 * (2 if info.pixel_format.endswith("le") else 1)
    return list(islice(frames, max(_MIN_MAPS, _MAX_CACHED_BYTES // size)))


def _ping_pong(count: int) -> Iterator[int]:
    """0, 1 … count − 1 and back without an end: pictures in this order move without a jump."""
    while True:
        yield from range(count)
        yield from range(count - 2, 0, -1)
