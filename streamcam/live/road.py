"""The road of live frames, read top to bottom.

    camera ──► screen ─────────────────► picture ──► outlets, page
         └──► desk ──► lens ──► map ──┘

Each arrow hands on and never waits: what comes too late is left out and counted.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config import LiveJob
from ..errors import SinkError, StreamcamError
from ..flow import Cancelled, Flow
from ..sources import open_camera
from .desk import Desk
from .feed import Feed
from .lens import AT_MOST, Lens, at_work
from .screen import Screen
from .studio import LiveStudio
from .tally import Histogram, Tally

if TYPE_CHECKING:
    from .status import Studio

_AT_ONCE = 2
"""Batches under way on each device; see `streamcam.engine.program`."""

_MORE = 2.0
"""Seconds that an output's thread may take beside its process."""

_WAKE = 0.5
"""Seconds after which a waiting main thread looks around; some platforms deliver signals only then."""


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """What became of a live run; the JSON of ``streamcam live``.

    Attributes:
        sources: of each camera the counts ``frames_in``, ``frames_shown``, ``frames_explained``, ``frames_dropped``,
            ``frames_paused``, ``frames_skipped``, ``reconnects``, its ``age_ms`` (``p50``, ``p99``, ``max``: from
            arrival to shown), and its ``error``: what was wrong last, None while all was well.
        total: the sums, and the ages of all.
        outputs: of each outlet what was written and dropped, how often it was restarted, and what was wrong last.
        wall_seconds: from the start to the end.
        model, layer, method, precision, device: what was computed, and how.
        interrupted: True when the user ended it.
        notes: what the user was told.
    """

    sources: tuple[dict[str, Any], ...]
    total: dict[str, Any]
    outputs: tuple[dict[str, Any], ...]
    wall_seconds: float
    model: str
    layer: str
    method: str
    precision: str
    device: str
    interrupted: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; the totals stand at the top too."""
        plain: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return {**self.total, **plain}


class _Ending:
    """What ends a run: somebody's wish, an error, or the end of all cameras."""

    def __init__(self, over: threading.Event | None) -> None:
        self.error: BaseException | None = None
        self._over = over or threading.Event()

    def over(self) -> None:
        """Nothing more is to come."""
        self._over.set()

    def guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        """``work``, such that its error ends the run."""

        def guarded() -> None:
            try:
                work()
            except Cancelled:
                raise
            except BaseException as error:
                self.error = self.error or error
                self._over.set()

        return guarded

    def wait(self, seconds: float | None) -> None:
        """Waits for the end, or for so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._over.is_set():
            left = _WAKE if until is None else min(_WAKE, until - time.monotonic())
            if left <= 0:
                return
            self._over.wait(left)


def run_live(
    job: LiveJob,
    *,
    serve: Callable[[Studio], AbstractContextManager[Any]] | None = None,
    say: Callable[[str], None] = lambda line: None,
    over: threading.Event | None = None,
) -> LiveSummary:
    """Shows cameras until they end, the time is up, or the user ends it.

    Args:
        job: what to do.
        serve: opens what shows the run to others, such as the page.
        say: told what the user should know, in any thread.
        over: ends the run when it is set.

    Raises:
        StreamcamError: something cannot be done, or all cameras were given up. Outputs are closed and playable.
    """
    from ..sinks.outlet import Outlet
    from ..sinks.stills import StillEncoder

    began = time.monotonic()
    said: list[str] = []

    def tell(line: str) -> None:
        if len(said) < _REMEMBERED:
            said.append(line)
        say(line)

    lens = Lens(job.model, job.explain, len(job.cameras), tell)
    cameras = [open_camera(options, tell, ready=lens.wait_for) for options in job.cameras]
    inputs = [options.url.removeprefix("file://") for options in job.cameras]
    outlets = [(name, Outlet(options, tell, inputs=inputs)) for name, options in job.outlets]
    desk = Desk(1, min(camera.max_age for camera in job.cameras), job.explain_fps)
    feeds, screens = [], []
    for camera, options in zip(cameras, job.cameras, strict=True):
        tally = Tally()
        screen = Screen(
            job.draw,
            job.scale,
            targets=len(job.explain.target),
            max_age=options.max_age,
            tally=tally,
            takers=[outlet for name, outlet in outlets if name == camera.name],
            encode=StillEncoder().jpeg,
        )
        screens.append(screen)
        feeds.append(Feed(camera, screen, tally, lens, desk))
    studio = LiveStudio(feeds, screens, outlets, lens)
    ending, out = _Ending(over), set[str]()
    interrupted = False

    def ended(feed: Feed) -> None:
        if all(other.ended for other in feeds):
            ending.over()
        elif feed.error is not None:
            tell(f"{feed.name} is given up: {feed.error}")
        for name, outlet in outlets:
            if name == feed.name:
                outlet.close()

    def push(outlet: Outlet) -> None:
        outlet.run()
        if job.page is None and outlet.failed and all(other.state == "ended" for _, other in outlets):
            raise SinkError("no output is left", do="what ended them is told above")

    with contextlib.ExitStack() as stack:
        if serve is not None:
            stack.enter_context(serve(studio))
        flow = stack.enter_context(Flow())

        def failed(device: str, error: StreamcamError) -> None:
            if device not in out:
                out.add(device)
                tell(f"{device} is out: {error}")
            if lens.explainer is not None and out >= set(lens.explainer.devices):
                raise error

        def loaded(devices: Sequence[str]) -> None:
            if not all(device.startswith("cpu") for device in devices):
                desk.depth = max(1, AT_MOST // len(cameras))
            for device in devices:
                for _ in range(_AT_ONCE):
                    work = ending.guarded(functools.partial(at_work, lens, device, desk.take, failed))
                    flow.alongside(work, stop=desk.stop, name=f"model-{device}")

        for _, outlet in outlets:
            work = ending.guarded(functools.partial(push, outlet))
            flow.alongside(work, stop=outlet.close, name="outlet", patience=outlet.grace + _MORE)
        for feed, screen in zip(feeds, screens, strict=True):
            flow.alongside(ending.guarded(screen.run), stop=screen.stop, name=f"screen-{feed.name}")
            read = functools.partial(feed.read, functools.partial(ended, feed))
            flow.alongside(ending.guarded(read), stop=feed.stop, name=f"camera-{feed.name}")
        flow.alongside(ending.guarded(functools.partial(lens.run, loaded)), stop=lens.stop, name="lens")
        try:
            ending.wait(job.duration)
        except KeyboardInterrupt:
            interrupted = True
    if ending.error is not None:
        raise ending.error
    errors = [feed.error for feed in feeds if feed.error]
    if len(errors) == len(feeds):
        raise errors[0]
    return _summary(feeds, studio, began, interrupted, said)


_REMEMBERED = 1000
"""Lines that the summary repeats: a run has no end."""


def _summary(feeds: list[Feed], studio: LiveStudio, began: float, interrupted: bool, said: list[str]) -> LiveSummary:
    status = studio.status()
    ages = Histogram.joined(feed.ages for feed in feeds).ages
    total: dict[str, Any] = {name: sum(feed.counts[name] for feed in feeds) for name in feeds[0].counts}
    return LiveSummary(
        sources=tuple(feed.as_dict() for feed in feeds),
        total={**total, "age_ms": {"p50": ages.p50, "p99": ages.p99, "max": ages.max}},
        outputs=tuple(
            {
                "camera": outlet.camera,
                "to": outlet.to,
                "frames": outlet.frames,
                "dropped": outlet.dropped,
                "restarts": outlet.restarts,
                "trouble": outlet.trouble,
            }
            for outlet in status.outlets
        ),
        wall_seconds=round(time.monotonic() - began, 3),
        model=status.model,
        layer=status.layer,
        method=status.settings.method,
        precision=status.precision,
        device=status.device,
        interrupted=interrupted,
        notes=tuple(said),
    )
