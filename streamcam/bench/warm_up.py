"""The first case of a benchmark: check clip, model and options once, and compute maps for the other stages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compose import report_environment as compose_environment
from ..concurrency.group import StageGroup, StageTimer
from ..engine import describe_devices, load_explainer
from ..frames import Attribution, Batch, ExplainedFrame, Frame, MapKind, SourceInfo
from ..geometry import Geometry
from ..options import TemporalOptions
from ..sinks import open_sink
from ..sinks import report_environment as sinks_environment
from ..sources import open_source
from ..sources.resize import InputResizer
from ..stages import batched, explain
from ..temporal import normalize_maps
from .case import Case
from .clip import synthetic_size, write_synthetic

if TYPE_CHECKING:
    from ..engine.explainer import FrameExplainer
    from ..engine.prepared_source import PreparedSource

_MAX_CACHED_BYTES = 2**28
"""Most bytes of decoded or drawn frames to hold."""

_MIN_MAPS = 8
_EXPLAIN_SECONDS = 5.0
"""Least number of maps to draw, and seconds in which to compute more: one for each frame if they suffice. Maps that
move with the scene cost the encoder more than a few that repeat."""


@dataclass(frozen=True, slots=True)
class WarmUpResult:
    """The data that stages without a model need; a file beside it holds the maps, float32 ``(n, h, w)``."""

    input: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    caption_facts: tuple[str, str]
    map_kind: MapKind
    labels: list[str]
    probabilities: list[float | None]

    def geometry(self, info: SourceInfo) -> Geometry:
        """Return the geometry of a source."""
        return Geometry((info.width, info.height), self.input, self.scaled, self.offset)

    def attach_maps(self, frames: list[Frame], maps: Any) -> list[ExplainedFrame]:
        """Attach maps to frames, as if they came from the model."""
        items = [
            ExplainedFrame(frame, (Attribution(maps[n], self.labels[n], 0.0, self.probabilities[n], 0),))
            for frame, n in zip(frames, ping_pong(len(maps)), strict=False)
        ]
        return list(normalize_maps(items, TemporalOptions(), self.map_kind))


def warm_up(case: Case) -> dict[str, Any]:
    """Read the clip and run the model once; every wrong option fails here."""
    clip, work_dir = case.clip, Path(case.work_dir)
    if size := synthetic_size(clip):
        clip = str(work_dir / "clip.mp4")
        write_synthetic(Path(clip), size, case.frames)
    case = replace(case, clip=clip)
    job = case.job()
    decode_seconds = time.perf_counter()
    with open_source(job.source) as source, open_sink(job.sink, source.info):
        info, frames = source.info, read_frames(source, source.info)[: case.frames]
    decode_seconds = (time.perf_counter() - decode_seconds) / len(frames)
    load_seconds = time.perf_counter()
    explainer = load_explainer(job.model, job.explain, limit_threads=True)
    prepared = explainer.prepare(info)
    load_seconds = time.perf_counter() - load_seconds
    xla = prepared.compile_now()
    resizer = InputResizer(prepared.geometry, info.color)
    scaled = [replace(frame, model_input=resizer(frame.model_source)) for frame in frames]
    timer = StageTimer()
    batches = batched(scaled, prepared.executable.batch, max_length=prepared.executable.batch)
    items = list(_until_deadline(explain_batches(explainer, prepared, batches, timer)))
    facts = prepared.caption_facts(explainer.method, explainer.targets, explainer.info)
    result = WarmUpResult(
        input=prepared.geometry.input,
        scaled=prepared.geometry.scaled,
        offset=prepared.geometry.offset,
        caption_facts=(facts.method, facts.layer),
        map_kind=explainer.map_kind,
        labels=[item.attributions[0].label for item in items],
        probabilities=[item.attributions[0].probability for item in items],
    )
    (work_dir / "warm_up.json").write_text(json.dumps(asdict(result)))
    np.save(work_dir / "maps.npy", np.stack([item.attributions[0].heatmap for item in items]))
    media, engine_report = sinks_environment(), describe_devices()
    return {
        "clip": clip,
        "size": [info.width, info.height],
        "model": explainer.info.name,
        "input": list(prepared.geometry.input),
        "layer": prepared.executable.layer,
        "method": explainer.method,
        "device": prepared.device,
        "precision": prepared.executable.precision,
        "xla": xla,
        "startup_seconds": load_seconds,
        "seconds": {"decode": decode_seconds, "model": timer.seconds["model"] / len(items)},
        **engine_report,
        "software": {
            **engine_report["software"],
            "pyav": media["pyav"],
            "ffmpeg": media["ffmpeg"],
            **compose_environment(),
        },
    }


def load_warm_up(case: Case) -> tuple[WarmUpResult, Any]:
    """Load the result of `warm_up` and its maps from the work folder."""
    work_dir = Path(case.work_dir)
    saved = json.loads((work_dir / "warm_up.json").read_text())
    sizes = {name: tuple(saved[name]) for name in ("input", "scaled", "offset")}
    return WarmUpResult(**{**saved, **sizes}), np.load(work_dir / "maps.npy")


def explain_batches(
    explainer: FrameExplainer, prepared: PreparedSource, batches: Iterator[Batch], timer: StageTimer
) -> Iterator[ExplainedFrame]:
    """Explain batches on all devices, as the pipeline does."""
    with StageGroup() as group:
        yield from explain(batches, explainer, prepared, group, timer)


def read_frames(frames: Any, info: SourceInfo) -> list[Frame]:
    """Read as many frames as fit into memory."""
    size = info.width * info.height * 3 // 2 * (2 if info.pixel_format.endswith("le") else 1)
    return list(islice(frames, max(_MIN_MAPS, _MAX_CACHED_BYTES // size)))


def ping_pong(count: int) -> Iterator[int]:
    """Yield 0, 1 … count − 1 and back, endlessly: frames in this order move without a jump."""
    while True:
        yield from range(count)
        yield from range(count - 2, 0, -1)


def _until_deadline(items: Iterator[ExplainedFrame]) -> Iterator[ExplainedFrame]:
    """Yield items until the time is up."""
    started = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count >= _MIN_MAPS and time.monotonic() - started > _EXPLAIN_SECONDS:
            return
