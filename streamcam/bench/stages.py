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

from ..compose import Painter
from ..compose.painter import evened
from ..config import TimeOptions
from ..engine import load_explainer
from ..flow import Flow, StageClock, batched
from ..frames import Batch, Display, Evidence, Explained, Frame, SourceInfo
from ..geometry import Geometry
from ..pipeline import Watcher, run
from ..sinks import open_sink
from ..sources import open_source
from ..temporal import over_time
from .clip import synthetic_size, write_synthetic

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..engine.explainer import StreamExplainer, View
    from .case import Case

_KEPT_BYTES = 2**28
"""Most that is kept of decoded or drawn pictures."""

_MAPS = 8
_EXPLAINING = 5.0
"""Least number of maps that are drawn, and seconds in which more are made: one for each picture where they suffice.
Maps that move with the scene are dearer to encode than a few that come again and again."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a stage without a model needs to know of it; beside it lie the maps, float32 ``(n, h, w)``."""

    input: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    detail: str
    display: Display
    labels: list[str]
    probabilities: list[float | None]

    def geometry(self, info: SourceInfo) -> Geometry:
        return Geometry((info.width, info.height), self.input, self.scaled, self.offset)

    def explained(self, frames: list[Frame], maps: Any) -> list[Explained]:
        """Frames with maps as they would come from the model."""
        items = [
            Explained(frame, (Evidence(maps[n], self.labels[n], 0.0, self.probabilities[n], 0),))
            for frame, n in zip(frames, _there_and_back(len(maps)), strict=False)
        ]
        return list(over_time(items, TimeOptions(), self.display))


def _prepare(case: Case) -> dict[str, Any]:
    """Looks at the clip and the model once: every mistake in the options comes up here."""
    from ..compose import examine as examine_compose
    from ..engine import describe
    from ..sinks import examine
    from ..sources.scale import Scaler

    clip, work = case.clip, Path(case.work)
    if size := synthetic_size(clip):
        clip = str(work / "clip.mp4")
        write_synthetic(Path(clip), size, case.frames)
    case = replace(case, clip=clip)
    job = case.job()
    decoding = time.perf_counter()
    with open_source(job.source) as source, open_sink(job.sink, source.info):
        info, frames = source.info, _kept(source, source.info)[: case.frames]
    decoding = (time.perf_counter() - decoding) / len(frames)
    loading = time.perf_counter()
    explainer = load_explainer(job.model, job.explain, shared=True)
    view = explainer.view(info)
    loading = time.perf_counter() - loading
    scaler = Scaler(view.geometry, info.colour)
    seen = [replace(frame, pixels=scaler(frame.picture)) for frame in frames]
    clock = StageClock()
    batches = batched(seen, view.kernel.batch, longest=view.kernel.batch)
    items = list(_in_time(_explained(explainer, view, batches, clock)))
    prepared = _Prepared(
        input=view.geometry.input,
        scaled=view.geometry.scaled,
        offset=view.geometry.offset,
        detail=view.detail(explainer.method),
        display=explainer.display,
        labels=[item.evidence[0].label for item in items],
        probabilities=[item.evidence[0].probability for item in items],
    )
    (work / "prepared.json").write_text(json.dumps(asdict(prepared)))
    np.save(work / "maps.npy", np.stack([item.evidence[0].heatmap for item in items]))
    media, computing = examine(), describe()
    return {
        "clip": clip,
        "size": [info.width, info.height],
        "model": explainer.info.name,
        "input": list(view.geometry.input),
        "layer": view.kernel.layer,
        "method": explainer.method,
        "device": view.device,
        "precision": view.kernel.precision,
        "startup": loading,
        "seconds": {"decode": decoding, "model": clock.seconds["model"] / len(items)},
        **computing,
        "software": {**computing["software"], "pyav": media["pyav"], "ffmpeg": media["ffmpeg"], **examine_compose()},
    }


def _decode(case: Case) -> dict[str, Any]:
    from ..sources.scale import Scaler

    job, prepared, _ = case.job(), *_load(case)

    def work() -> None:
        with open_source(job.source) as source:
            scaler = Scaler(prepared.geometry(source.info), source.info.colour)
            for frame in source:
                scaler(frame.picture)

    return _timed(case, work)


def _model(case: Case) -> dict[str, Any]:
    from ..engine.devices import peak_memory
    from ..sources.scale import Scaler

    job = case.job()
    with open_source(job.source) as source:
        explainer, view, compiling = _compiled(case, source.info)
        scaler = Scaler(view.geometry, source.info.colour)
        first, *others = _kept(source, source.info)
        # All with the first one's picture: the model never looks at it, and memory is scarce.
        seen = [replace(frame, picture=first.picture, pixels=scaler(frame.picture)) for frame in (first, *others)]
    frames = [seen[n] for n in islice(_there_and_back(len(seen)), case.frames)]

    def work() -> None:
        batches = batched(frames, view.kernel.batch, longest=view.kernel.batch)
        for _ in _explained(explainer, view, batches, StageClock()):
            pass

    report = _timed(case, work)
    return {
        **report,
        "compile_seconds": compiling,
        "device_memory": peak_memory(view.device),
        "precision": view.kernel.precision,
    }


def _draw(case: Case) -> dict[str, Any]:
    painter, items = _paintable(case)

    def work() -> None:
        for n in islice(_there_and_back(len(items)), case.frames):
            painter.draw(items[n])

    return _timed(case, work)


def _encode(case: Case) -> dict[str, Any]:
    with open_source(case.job().source) as source:
        info = source.info
    painter, items = _paintable(case)
    pictures = [painter.draw(item) for item in items]
    return _timed(case, lambda: _encoded(case, info, pictures))


def _encoded(case: Case, info: SourceInfo, pictures: list[VideoFrame]) -> None:
    step = max(1, round(1 / ((info.rate or 25) * info.time_base)))
    with open_sink(case.job().sink, info) as sink:
        for count, n in enumerate(islice(_there_and_back(len(pictures)), case.frames)):
            sink.write(pictures[n], count * step)


def _encode_plain(case: Case) -> dict[str, Any]:
    """`_encode` of the same pictures before anything is drawn on them."""
    job = case.job()
    with open_source(job.source) as source:
        info, frames = source.info, _kept(source, source.info)
    pictures = [evened(frame, info) for frame in frames]
    return _timed(case, lambda: _encoded(case, info, pictures))


def _transcode(case: Case) -> dict[str, Any]:
    job = case.job()

    def work() -> None:
        with open_source(job.source) as source, open_sink(job.sink, source.info) as sink:
            for frame in source:
                sink.write(evened(frame, source.info), frame.pts)

    return _timed(case, work)


def _whole(case: Case) -> dict[str, Any]:
    from ..engine.devices import peak_memory

    job = case.job()
    with open_source(job.source) as source:
        explainer, view, compiling = _compiled(case, source.info)
    ages: list[list[float]] = []

    def work() -> None:
        ages.append([])
        watcher = Watcher(frame=lambda item: ages[-1].append(time.monotonic() - item.frame.arrived))
        run(job, explainer=explainer, watcher=watcher)

    report = _timed(case, work)
    middle, late = np.percentile(np.concatenate(ages[1:]), [50, 99])
    return {
        **report,
        "compile_seconds": compiling,
        "device_memory": peak_memory(view.device),
        "precision": view.kernel.precision,
        "latency_p50": float(middle),
        "latency_p99": float(late),
    }


def _forward(case: Case) -> dict[str, Any]:
    from ..engine.bare import load_bare
    from ..engine.devices import peak_memory

    job, prepared, _ = case.job(), *_load(case)
    compiling = time.perf_counter()
    width, height = prepared.input
    forward = load_bare(job.model, prepared.input, case.batch, case.precision, case.device)
    noise = np.random.default_rng(0).integers(0, 256, (case.batch, height, width, 3), np.uint8)
    forward(noise)
    compiling = time.perf_counter() - compiling
    calls = -(-case.frames // case.batch)

    def work() -> None:
        for _ in range(calls):
            forward(noise)

    report = _timed(replace(case, frames=calls * case.batch), work)
    return {**report, "compile_seconds": compiling, "device_memory": peak_memory(case.device)}


STAGES: dict[str, Callable[[Case], dict[str, Any]]] = {
    "prepare": _prepare,
    "decode": _decode,
    "model": _model,
    "draw": _draw,
    "encode": _encode,
    "encode_plain": _encode_plain,
    "transcode": _transcode,
    "whole": _whole,
    "forward": _forward,
}
"""Stage -> its report: seconds a frame of each repeat and what else it can tell."""


def _timed(case: Case, work: Callable[[], None]) -> dict[str, Any]:
    """Does the work once to warm up and then as often as it is to be timed."""
    wall, cpu = [], []
    for _ in range(case.repeats + 1):
        began = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - began[0]) / case.frames)
        cpu.append((time.process_time() - began[1]) / case.frames)
    return {"wall": wall[1:], "cpu": cpu[1:], "memory": _peak()}


def _peak() -> int | None:
    """Most bytes this process has had in memory; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _compiled(case: Case, info: SourceInfo) -> tuple[Any, Any, float]:
    """Explainer, view and the seconds it took to compile the view and to run it first."""
    job = case.job()
    explainer = load_explainer(job.model, job.explain, shared=True)
    compiling = time.perf_counter()
    view = explainer.view(info)
    return explainer, view, time.perf_counter() - compiling


def _explained(
    explainer: StreamExplainer, view: View, batches: Iterator[Batch], clock: StageClock
) -> Iterator[Explained]:
    """What the road makes of batches, on all of the view's devices."""
    workers = explainer.workers(view.replicas, clock)
    with Flow() as flow:
        yield from explainer.explain(flow.deal(batches, workers, depth=1, threads=view.threads))


def _in_time(items: Iterator[Explained]) -> Iterator[Explained]:
    """As many as come before time is up."""
    began = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count >= _MAPS and time.monotonic() - began > _EXPLAINING:
            return


def _load(case: Case) -> tuple[_Prepared, Any]:
    work = Path(case.work)
    told = json.loads((work / "prepared.json").read_text())
    places = {name: tuple(told[name]) for name in ("input", "scaled", "offset")}
    return _Prepared(**{**told, **places}), np.load(work / "maps.npy")


def _paintable(case: Case) -> tuple[Painter, list[Explained]]:
    """A painter and frames for it."""
    job, prepared, maps = case.job(), *_load(case)
    with open_source(job.source) as source:
        info, frames = source.info, _kept(source, source.info)
    geometry = prepared.geometry(info)
    painter = Painter(job.draw, info, geometry, detail=prepared.detail, display=prepared.display)
    return painter, prepared.explained(frames, maps)


def _kept(frames: Any, info: SourceInfo) -> list[Frame]:
    """As many frames as memory has room for."""
    size = info.width * info.height * 3 // 2 * (2 if info.pixel_format.endswith("le") else 1)
    return list(islice(frames, max(_MAPS, _KEPT_BYTES // size)))


def _there_and_back(count: int) -> Iterator[int]:
    """0, 1 … count − 1 and back without an end: pictures in this order move without a jump."""
    while True:
        yield from range(count)
        yield from range(count - 2, 0, -1)
