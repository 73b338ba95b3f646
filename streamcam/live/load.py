"""Share the CPU of an overloaded machine between video and model; see decision 0050."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import count_of
from ..notes import get_logger
from ..sources.cameras.thinning import NO_LIMIT, FrameLimit

if TYPE_CHECKING:
    from .scheduler import FairScheduler

logger = get_logger(__name__)

_PERIOD_SECONDS = 1.0
_MIN_VIDEO_SHARE, _MAX_VIDEO_SHARE = 0.42, 0.9
"""Part of the CPU that decoding and drawing may take, while the model could use more, and while it could not."""
_STARVED_RATIO = 0.05
"""Part of the shown frames without a map of their own from which the model is starved."""
_LATE_RATIO = 0.05
"""Part of the frames that were too old from which the video has more work than it can do."""
_LATE_MIN_FPS = 5.0
"""Late frames do not limit a camera below this rate: other programs may be the cause."""
_RELEASE_RATIO = 0.9
"""All frames are shown again once they would take at most this part of the budget."""
_MAX_DECODE_RATIO, _MIN_DECODE_RATIO = 0.75, 0.65
"""Parts of the budget above which decoding is saved, and below which it no longer is."""
_SAVING_DEPTH = 2
"""Frames of a camera that may wait for the model while decoding is saved: they come in bursts, one a group."""
_WEIGHT = 0.5
_REPORT_PERIODS = 3
"""Periods of overload after which it is reported."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """The work of one period.

    Attributes:
        seconds: its length.
        decode_seconds, draw_seconds: CPU seconds of reading and of drawing, all cameras together.
        received: frames of each camera that has sent any.
        shown: frames shown.
        late: frames dropped because they were too old.
        unexplained: frames that the model skipped for newer ones, though it had no other limit.
    """

    seconds: float
    decode_seconds: float
    draw_seconds: float
    received: tuple[int, ...]
    shown: int
    late: int
    unexplained: int


class LoadController:
    """Limits the frames of cameras, so that the model gets its share.

    Args:
        cores: CPU cores of this process.

    Attributes:
        limit: how many frames each camera shows.
        num_fitting: how many cameras of this kind could show every frame.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._share = _MAX_VIDEO_SHARE
        self._late_limit: float | None = None
        # CPU seconds a received frame, at the moment and while all are decoded, and a shown frame.
        self._decode_cost = self._full_decode_cost = self._draw_cost = 0.0
        self.limit = NO_LIMIT
        self.num_fitting = 0

    def update(self, sample: LoadSample) -> None:
        """Adjust `limit` to the last period's work."""
        received = sum(sample.received)
        if not (received and sample.seconds > 0):
            return
        is_starved = sample.unexplained > _STARVED_RATIO * sample.shown
        self._share = (
            max(_MIN_VIDEO_SHARE, 0.8 * self._share) if is_starved else min(_MAX_VIDEO_SHARE, self._share + 0.01)
        )
        self._decode_cost = _mean(self._decode_cost, sample.decode_seconds / received)
        if self.limit.decodes_all or not self._full_decode_cost:
            self._full_decode_cost = _mean(self._full_decode_cost, sample.decode_seconds / received)
        if sample.shown:
            self._draw_cost = _mean(self._draw_cost, sample.draw_seconds / sample.shown)
        rates = [count / sample.seconds for count in sample.received]
        decodes_all = self._full_decode_cost * sum(rates) <= self._share * self._cores * (
            _MAX_DECODE_RATIO if self.limit.decodes_all else _MIN_DECODE_RATIO
        )
        limits = (self._cpu_limit(rates, decodes_all=decodes_all), self._update_late_limit(sample, max(rates)))
        max_fps = min((limit for limit in limits if limit is not None), default=None)
        self.limit = FrameLimit(max_fps, decodes_all or max_fps is None)

    def _cpu_limit(self, rates: Sequence[float], *, decodes_all: bool) -> float | None:
        """Return the limit that the CPU share of video allows; None for none."""
        budget = self._share * self._cores
        full_cost = max(1e-9, (self._full_decode_cost + self._draw_cost) * sum(rates))
        self.num_fitting = int(len(rates) * budget / full_cost)
        previous = self.limit.max_fps
        if full_cost <= budget * (1.0 if previous is None else _RELEASE_RATIO):
            return None
        decode_cost = self._full_decode_cost if decodes_all else self._decode_cost
        spare = max(0.0, budget - decode_cost * sum(rates))
        fair = max(1.0, _fair_limit(rates, spare / max(self._draw_cost, 1e-6)))
        return fair if previous is None else _mean(previous, fair)

    def _update_late_limit(self, sample: LoadSample, fastest: float) -> float | None:
        """Return the limit with which few frames are late; None for none."""
        if sample.late > _LATE_RATIO * sum(sample.received):
            shown_fps = sample.shown / sample.seconds / len(sample.received)
            self._late_limit = max(_LATE_MIN_FPS, 0.85 * min(shown_fps, self._late_limit or shown_fps))
        elif self._late_limit is not None:
            self._late_limit *= 1.2
            if self._late_limit > fastest:
                self._late_limit = None
        return self._late_limit


def _mean(previous: float, value: float) -> float:
    return previous + (value - previous) * _WEIGHT if previous else value


def _fair_limit(rates: Sequence[float], total: float) -> float:
    """Return the limit of each rate with which their sum is ``total``."""
    remaining = len(rates)
    for rate in sorted(rates):
        if rate * remaining >= total:
            return total / remaining
        total -= rate
        remaining -= 1
    return max(rates)


class LoadSource(Protocol):
    """One camera's work since the start."""

    @property
    def decode_cpu_seconds(self) -> float:
        """CPU seconds of reading and decoding."""
        ...

    @property
    def draw_cpu_seconds(self) -> float:
        """CPU seconds of drawing and passing on."""
        ...

    @property
    def counts(self) -> dict[str, int]:
        """Frames by what became of them."""
        ...

    @property
    def frames_thinned(self) -> int:
        """Frames that were dropped because of `LoadController.max_fps`."""
        ...


class LoadGovernor:
    """Limits the frames of all cameras while the machine is overloaded.

    Args:
        cores: CPU cores of this process.
        max_explain_fps: the user's limit of the model; None for no limit.
    """

    def __init__(self, cores: int, max_explain_fps: float | None) -> None:
        self._controller = LoadController(cores)
        self._max_explain_fps = max_explain_fps
        self._stopping = threading.Event()

    def frame_limit(self) -> FrameLimit:
        """Return how many frames each camera may show."""
        return self._controller.limit

    def run(self, cameras: Sequence[LoadSource], scheduler: FairScheduler, *, on_cpu: bool) -> None:
        """Adjust the limit once a second, until `stop`; report an overload once.

        Args:
            cameras: all cameras.
            scheduler: counts the frames that the model skipped.
            on_cpu: True if the model runs on the CPU.
        """
        before, overloaded, reported = self._totals(cameras, scheduler), 0, False
        depth = scheduler.depth
        while not self._stopping.wait(_PERIOD_SECONDS):
            after = self._totals(cameras, scheduler)
            self._controller.update(self._sample(before, after, on_cpu=on_cpu))
            before, limit = after, self._controller.limit
            if on_cpu:
                scheduler.depth = depth if limit.decodes_all else _SAVING_DEPTH
            overloaded = 0 if limit.max_fps is None else overloaded + 1
            if overloaded == _REPORT_PERIODS and not reported:
                reported = True
                self._report(len(cameras))

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    def _report(self, num_cameras: int) -> None:
        fitting = self._controller.num_fitting
        logger.warning(
            "%s too many for this machine: %s at full rate; each shows about %.0f frames a second now",
            f"{count_of(num_cameras, 'camera')} {'is' if num_cameras == 1 else 'are'}",
            f"{fitting} {'fits' if fitting == 1 else 'fit'}",
            self._controller.limit.max_fps,
        )

    @staticmethod
    def _totals(cameras: Sequence[LoadSource], scheduler: FairScheduler) -> _Totals:
        counts = [camera.counts for camera in cameras]
        return _Totals(
            time=time.monotonic(),
            decode_seconds=sum(camera.decode_cpu_seconds for camera in cameras),
            draw_seconds=sum(camera.draw_cpu_seconds for camera in cameras),
            received=tuple(count["frames_in"] - count["frames_paused"] for count in counts),
            shown=sum(count["frames_shown"] for count in counts),
            explained=sum(count["frames_explained"] for count in counts),
            late=sum(count["frames_dropped"] for count in counts) - sum(camera.frames_thinned for camera in cameras),
            replaced=scheduler.num_replaced,
        )

    def _sample(self, before: _Totals, after: _Totals, *, on_cpu: bool) -> LoadSample:
        seconds = after.time - before.time
        received = tuple(b - a for a, b in zip(before.received, after.received, strict=True) if b > a)
        explained_fps = (after.explained - before.explained) / max(seconds, 1e-3)
        limited = self._max_explain_fps is not None and explained_fps >= 0.9 * self._max_explain_fps
        return LoadSample(
            seconds=seconds,
            decode_seconds=after.decode_seconds - before.decode_seconds,
            draw_seconds=after.draw_seconds - before.draw_seconds,
            received=received,
            shown=after.shown - before.shown,
            late=after.late - before.late,
            unexplained=after.replaced - before.replaced if on_cpu and not limited else 0,
        )


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums since the start."""

    time: float
    decode_seconds: float
    draw_seconds: float
    received: tuple[int, ...]
    shown: int
    explained: int
    late: int
    replaced: int
