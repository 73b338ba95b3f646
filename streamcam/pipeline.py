"""The road of a frame, read top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .config import Between, Job
from .engine import load_explainer
from .errors import StreamcamError
from .flow import Flow, Opening, StageClock, batched
from .frames import Explained, Frame, Pixels, SourceInfo
from .sinks import open_sink
from .sources import open_source
from .temporal import between, chosen, over_time

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .engine.explainer import StreamExplainer, View
    from .sinks import Sink
    from .sources import Source

STAGES = ("decode", "model", "draw", "encode")


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of one input; the JSON of ``streamcam process``.

    Attributes:
        input, output: names of the files.
        frames_in: frames the source delivered.
        frames_out: frames written.
        frames_skipped: frames the source could not decode.
        frames_explained: frames written that the model looked at.
        frames_held: frames written that it did not look at; their maps come from those before and after them.
        wall_seconds: from opening the input to the output's end, the model's loading left out.
        startup_seconds: loading and compiling the model.
        fps: ``frames_out / wall_seconds``.
        stage_seconds: seconds each stage was busy; they overlap, so their sum may exceed the wall's.
        model, layer, method, precision, device, batch: what was computed, and how.
        decoder, encoder: what decoded and encoded, and where.
        memory: where the frames were between them: ``processor``, or the card on which they stayed.
        interrupted: True when the user ended it early.
        targets: what was explained, as asked for.
        figures: the largest of each figure by which the method tells the quality of its maps.
        notes: what the user was told.
    """

    input: str
    output: str
    frames_in: int
    frames_out: int
    frames_skipped: int
    frames_explained: int
    frames_held: int
    wall_seconds: float
    startup_seconds: float
    fps: float
    stage_seconds: dict[str, float]
    model: str
    layer: str
    method: str
    precision: str
    device: str
    batch: int
    decoder: str
    encoder: str
    memory: str
    interrupted: bool
    targets: tuple[str, ...]
    figures: dict[str, float]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


class Brush(Protocol):
    """What draws frames."""

    def draw(self, item: Explained) -> VideoFrame:
        """A new picture of a frame, with what the model says of it."""
        ...


class Interrupted(KeyboardInterrupt):
    """The user ended a run early; the output so far is closed and playable.

    Attributes:
        summary: of what was done until then.
    """

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self.summary = summary


@dataclass(slots=True)
class _Counts:
    seen: int = 0
    explained: int = 0


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a user interface may hear of a run; every part is optional.

    Attributes:
        opened: called once with what the source is.
        ready: called once when the model is compiled and frames begin to flow.
        frame: called after each frame is written.
        passes: called with passes done and passes in all, for each batch of a method of many passes; in the model's
            thread.
        note: called with each one-line announcement, as soon as it is known.
    """

    opened: Callable[[SourceInfo], None] = lambda info: None
    ready: Callable[[], None] = lambda: None
    frame: Callable[[Explained], None] = lambda item: None
    passes: Callable[[int, int], None] = lambda done, total: None
    note: Callable[[str], None] = lambda line: None


def run(job: Job, *, explainer: StreamExplainer | None = None, watcher: Watcher | None = None) -> Summary:
    """Takes every frame of one input through model and brush into one output.

    Args:
        job: what to do.
        explainer: a loaded model to use instead of loading the job's, for several inputs in a row.
        watcher: hears what happens.

    Raises:
        StreamcamError: something cannot be done; what was written until then is closed and playable.
        Interrupted: the user pressed Ctrl-C after the first frame; likewise.
    """
    watcher = watcher or Watcher()
    clock, counts = StageClock(), _Counts()
    started = time.perf_counter()
    interrupted = False
    both = job.source.decode == job.sink.encode == "gpu"
    with clock("load"):
        hindrance = _hindrance(job, watcher.note) if both else ""
    stay = both and not hindrance
    with Opening(lambda: open_source(job.source, stay=stay)) as opening, contextlib.ExitStack() as stack:
        if explainer is None and not opening.done(within=_PROMPT):
            with clock("load"):
                explainer = load_explainer(job.model, job.explain, shared=True)
        source = opening.result()
        sink = stack.enter_context(open_sink(job.sink, source.info))
        watcher.opened(source.info)
        every = _EXPECTED if job.time.every == "auto" else job.time.every
        with clock("load"):
            explainer = explainer or load_explainer(job.model, job.explain, shared=True)
            view = explainer.view(source.info, every=every)
        startup = clock.seconds["load"]
        stations = (_on_card if source.info.on_card else _on_processor)(job, source, explainer, view)
        replicas, batch = view.replicas, view.kernel.batch
        longest = min(batch * every, max(batch, _LONGEST))
        how: Between = "hold" if source.info.live else job.time.between
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            watcher.note(line)

        def failed(worker: int, error: StreamcamError) -> None:
            replicas[worker].out = True
            say(f"{replicas[worker].device} is out: {error}; its frames go to the others")

        for note in view.notes:
            watcher.note(note)
        if both and not source.info.on_card:
            why = hindrance or "they are turned, odd, HDR, not 4:2:0 of 8 bits, or decoded by the processor"
            say(f"frames do not stay on the card: {why}")
        if how != job.time.between:
            say(_CANNOT_WAIT)
        watcher.ready()
        try:
            with Flow() as flow:
                seen = clock.timed("decode", looked_at(stations.frames, stations.scaler, chosen(job.time), counts))
                frames = flow.ahead(seen, depth=2 * longest, name="decode", live=source.info.live)
                progress = functools.partial(_passed, flow, watcher)
                workers = explainer.workers(replicas, clock, progress, say)
                batches = batched(frames, batch, longest=longest)
                looked = flow.deal(batches, workers, depth=1, threads=view.threads, name="model", failed=failed)
                whole = between(explainer.explain(looked), how, view.geometry, clock)
                scaled = over_time(whole, job.time, explainer.display)
                drawn = flow.ahead(painted(scaled, stations.painter, clock), depth=_DRAWN, name="draw")
                # Not in this thread: an interrupt rises here, and must not rise between a picture and its count.
                for item in flow.ahead(written(drawn, sink, clock, counts), depth=1, name="encode"):
                    watcher.frame(item)
            sink.write_packets(source.tail)
        except KeyboardInterrupt:
            interrupted = True
            if not sink.frames:
                raise
    figures = {name: round(value, 4) for name, value in explainer.figures.items()}
    measured = tuple(f"{explainer.method}: {name} at most {value:.1%}" for name, value in figures.items())
    told = (*explainer.troubles[:_TROUBLES], *measured, *source.notes, *sink.notes)
    for note in told:
        say(note)
    wall = time.perf_counter() - started - startup
    summary = Summary(
        input=source.info.name,
        output=str(sink.path),
        frames_in=counts.seen,
        frames_out=sink.frames,
        frames_skipped=source.skipped,
        frames_explained=counts.explained,
        frames_held=sink.frames - counts.explained,
        wall_seconds=round(wall, 3),
        startup_seconds=round(startup, 3),
        fps=round(sink.frames / wall, 2),
        stage_seconds={stage: round(clock.seconds.get(stage, 0.0), 3) for stage in STAGES},
        model=explainer.info.name,
        layer=view.kernel.layer,
        method=explainer.method,
        precision=view.kernel.precision,
        device=view.device,
        batch=view.kernel.batch,
        decoder=source.decoder,
        encoder=sink.encoder,
        memory=view.device if source.info.on_card else "processor",
        interrupted=interrupted,
        targets=tuple(str(target) for target in job.explain.target),
        figures=figures,
        notes=(*view.notes, *said),
    )
    if interrupted:
        raise Interrupted(summary)
    return summary


@dataclass(frozen=True, slots=True)
class _Stations:
    """Where it makes a difference in whose memory frames are."""

    frames: Iterable[Frame]
    scaler: Callable[[VideoFrame], Pixels]
    painter: Brush


def _on_processor(job: Job, source: Source, explainer: StreamExplainer, view: View) -> _Stations:
    from .compose import Painter
    from .sources.scale import Scaler

    painter = Painter(job.draw, source.info, view.geometry, **_drawn_how(explainer, view))
    return _Stations(source, Scaler(view.geometry, source.info.colour), painter)


def _on_card(job: Job, source: Source, explainer: StreamExplainer, view: View) -> _Stations:
    from .card.painter import CardPainter
    from .card.scaler import CardScaler
    from .card.taker import Taker

    device = view.device
    painter = CardPainter(job.draw, source.info, view.geometry, device=device, **_drawn_how(explainer, view))
    return _Stations(Taker(device)(source), CardScaler(view.geometry, source.info.colour, device), painter)


def _drawn_how(explainer: StreamExplainer, view: View) -> dict[str, Any]:
    detail, panels = view.detail(explainer.method), len(explainer.targets)
    return {"detail": detail, "panels": panels, "display": explainer.display}


def _hindrance(job: Job, say: Callable[[str], None]) -> str:
    """Why frames cannot stay on a card; what is wrong with the input is said first, for this takes seconds."""
    from .card import why_not
    from .sources.opening import check_input

    check_input(job.source.url)
    return why_not(job, say)


_TROUBLES = 10
"""Frames that are named when the model fails on many."""

_LONGEST = 8
"""Frames that may wait for one another where only some are explained."""

_EXPECTED = 4
"""With ``--every auto``, the batch is that of every 4th frame: a kernel's batch is always full or padded, and in still
scenes padding would cost what the held frames save. On a processor batches of 2 are 16 % slower a frame than of 8."""

_CANNOT_WAIT = "a live source cannot wait for the next explained frame: maps are held (--between hold)"


def _passed(flow: Flow, watcher: Watcher, done: int, total: int) -> None:
    flow.check()
    watcher.passes(done, total)


_PROMPT = 0.5
"""Seconds in which a source opens that is no network's: what is wrong with it is said before a model is loaded."""

_DRAWN = 4
"""Pictures that may wait for the encoder: each is as large as a frame."""


def painted(items: Iterable[Explained], painter: Brush, clock: StageClock) -> Iterator[tuple[Explained, VideoFrame]]:
    """Draws each frame."""
    for item in items:
        with clock("draw"):
            picture = painter.draw(item)
        yield item, picture


def written(
    drawn: Iterable[tuple[Explained, VideoFrame]], sink: Sink, clock: StageClock, counts: _Counts
) -> Iterator[Explained]:
    """Encodes each picture."""
    for item, picture in drawn:
        with clock("encode"):
            sink.write(picture, item.frame.pts, item.frame.packets)
        counts.explained += not item.held
        yield item


def looked_at(
    frames: Iterable[Frame], scaler: Callable[[VideoFrame], Pixels], wanted: Callable[[Frame], bool], counts: _Counts
) -> Iterator[Frame]:
    """Gives the frames that are to be explained the model's view of them, and each the time of its arrival."""
    for frame in frames:
        arrived = time.monotonic()
        counts.seen += 1
        pixels = scaler(frame.picture) if wanted(frame) else None
        yield dataclasses.replace(frame, pixels=pixels, arrived=arrived)
