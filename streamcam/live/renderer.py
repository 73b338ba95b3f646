"""What is shown of one camera: each picture in its turn, with the newest map there is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..compose import FrameRenderer
from ..concurrency.group import Cancelled
from ..frames import ExplainedFrame, SourceInfo
from ..geometry import fit_to_input
from ..options import DrawOptions
from ..temporal import Normalizer
from .latest_value import LatestValue
from .stats import FrameStats
from .sync_policy import SyncPolicy

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .inference import ModelBinding
    from .pending_frame import PendingFrame

MAX_MAP_WAIT_SECONDS = 0.15
"""Seconds that a picture may wait for its own map."""

_HALF_LIFE_SECONDS = 60.0
_STALE_MAP_SECONDS = 0.15
"""Seconds from which on the picture says how old its map is."""

_IDLE_SECONDS = 0.5
"""Seconds without a new picture after which a watcher who has just come is shown the last one."""

_MAX_QUEUED = 64
"""Pictures that may wait, whatever their age: memory stays bounded."""


class FrameConsumer(Protocol):
    """Whoever is handed each shown picture and must not wait, such as `streamcam.sinks.push.output.Outlet`."""

    def submit(self, video_frame: VideoFrame, pts: int) -> None:
        """Takes a picture; pts in 1/90000 s."""
        ...


class CameraRenderer:
    """Draws one camera's pictures in a thread of its own (`run`) and hands them on.

    A picture is shown with its own map where the model keeps up; see `Pace`. Otherwise it is shown at once, with the
    newest map of an earlier picture, and says how old that is.

    Args:
        draw: how pictures look.
        scale: as in `TimeOptions`.
        num_targets: how many maps a picture will have, where the model is not ready yet.
        max_latency_seconds: seconds; older pictures are left out and counted.
        stats: counts.
        consumers: are handed every picture.
        encode_jpeg: a picture as JPEG, for `jpegs`.

    Attributes:
        jpegs: what watchers see.
        frames: the same before it is encoded, with its pts in 1/90000 s.
        paused: True while nothing new is shown.
    """

    def __init__(
        self,
        draw: DrawOptions,
        scale: str | float,
        *,
        num_targets: int,
        max_latency_seconds: float,
        stats: FrameStats,
        consumers: Sequence[FrameConsumer] = (),
        encode_jpeg: Callable[[VideoFrame], bytes],
    ) -> None:
        self.jpegs = LatestValue(b"")
        self.frames: LatestValue[tuple[VideoFrame, int] | None] = LatestValue(None)
        self.paused = False
        self._draw, self._scaling = draw, scale
        self._num_targets = num_targets
        self._max_latency_seconds = max_latency_seconds
        self._stats = stats
        self._consumers = consumers
        self._encode_jpeg = encode_jpeg
        self._sync_policy = SyncPolicy(min(MAX_MAP_WAIT_SECONDS, max_latency_seconds / 2))
        self._queue: deque[PendingFrame] = deque()
        self._results: list[PendingFrame] = []
        self._stopped = self._showing = False
        self._condition = threading.Condition()
        self._source: SourceInfo | None = None
        self._binding: ModelBinding | None = None
        self._current: PendingFrame | None = None
        self._map: ExplainedFrame | None = None
        self._painter: FrameRenderer | None = None
        self._normalizer = Normalizer(scale)
        self._last: tuple[VideoFrame, ExplainedFrame] | None = None
        self._latency_text, self._latency_text_time = "", 0.0

    @property
    def draw(self) -> DrawOptions:
        """How pictures look; a new value is seen from the next picture on."""
        return self._draw

    @draw.setter
    def draw(self, draw: DrawOptions) -> None:
        self._draw, self._painter = draw, None

    @property
    def last(self) -> tuple[VideoFrame, ExplainedFrame] | None:
        """The picture that was shown last, and what was drawn on it; None before the first."""
        return self._last

    @property
    def map_latency_seconds(self) -> float | None:
        """Seconds since the picture came whose map is shown; None where there is none."""
        current = self._current
        return None if current is None else time.monotonic() - current.frame.arrival_time

    def put(self, pending: PendingFrame) -> None:
        """The camera's newest frame. Never waits."""
        with self._condition:
            self._queue.append(pending)
            if len(self._queue) > _MAX_QUEUED:
                self._queue.popleft()
                self._stats.count_dropped()
            self._condition.notify()

    def on_resolved(self, pending: PendingFrame) -> None:
        """See `Awaiting`."""
        with self._condition:
            if pending.explained is not None:
                self._stats.count_explained()
                self._sync_policy.record_explained(time.monotonic() - pending.frame.arrival_time)
                self._results.append(pending)
            elif pending.binding is not None:
                self._sync_policy.record_dropped()
            self._condition.notify()

    def drain(self) -> None:
        """Waits until all that was put is shown or left out."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or not (self._queue or self._showing))

    def stop(self) -> None:
        """Ends `run` soon."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def run(self) -> None:
        """Shows picture after picture until it is stopped.

        Raises:
            Cancelled: it was stopped.
        """
        while True:
            pending = self._next()
            if pending is None:
                self._redraw()
            elif time.monotonic() - pending.frame.arrival_time > self._max_latency_seconds:
                self._stats.count_dropped()
            else:
                self._show(pending)

    def _next(self) -> PendingFrame | None:
        """The next picture, when its turn has come; None when there was none for a while."""
        idle = time.monotonic() + _IDLE_SECONDS
        with self._condition:
            self._showing = False
            self._condition.notify_all()
            while True:
                if self._stopped:
                    raise Cancelled
                now = time.monotonic()
                if self._queue:
                    due = self._queue[0].frame.arrival_time + self._sync_policy.wait_seconds
                    if not self._queue[0].is_pending or now >= due:
                        self._showing = True
                        return self._queue.popleft()
                    self._condition.wait(due - now)
                elif now >= idle:
                    return None
                else:
                    self._condition.wait(idle - now)

    def _show(self, pending: PendingFrame) -> None:
        if pending.info is not self._source:
            # Maps of other pictures say nothing about these.
            self._source, self._painter, self._current, self._map = pending.info, None, None, None
        self._update_map(pending)
        item = self._explained_frame(pending)
        painter = self._painter or self._make_painter(pending.info)
        self._painter = painter
        video_frame = painter.draw(item)
        jpeg = self._encode_jpeg(video_frame) if self.jpegs.num_subscribers else None
        if time.monotonic() - pending.frame.arrival_time > self._max_latency_seconds:
            self._stats.count_dropped()
            return
        for consumer in self._consumers:
            consumer.submit(video_frame, pending.frame.pts)
        self.frames.put((video_frame, pending.frame.pts))
        if jpeg is not None:
            self.jpegs.put(jpeg)
        self._last = video_frame, item
        self._stats.count_shown(time.monotonic() - pending.frame.arrival_time)

    def _update_map(self, pending: PendingFrame) -> None:
        """Makes the newest map that is not of a later picture the current one."""
        with self._condition:
            reached = [seen for seen in self._results if seen.frame.index <= pending.frame.index]
            self._results = [seen for seen in self._results if seen.frame.index > pending.frame.index]
        for seen in sorted(reached, key=lambda seen: seen.frame.index):
            if seen.info is not pending.info or seen.explained is None or seen.binding is None:
                continue
            if seen.binding.batch_sizes.explainer is not (self._binding and self._binding.batch_sizes.explainer):
                self._normalizer = Normalizer(
                    self._scaling, seen.binding.map_kind, half_life_seconds=_HALF_LIFE_SECONDS
                )
            if seen.binding is not self._binding:
                self._binding, self._painter = seen.binding, None
            elapsed_seconds = seen.frame.arrival_time - self._current.frame.arrival_time if self._current else 0.0
            self._map = self._normalizer(seen.explained, max(0.0, elapsed_seconds))
            self._current = seen

    def _explained_frame(self, pending: PendingFrame) -> ExplainedFrame:
        current, current_map = self._current, self._map
        if current is None or current_map is None:
            return ExplainedFrame(pending.frame, (), held=True)
        lag_seconds = pending.frame.arrival_time - current.frame.arrival_time
        notes = [f"map {lag_seconds:.1f} s old"] if lag_seconds >= _STALE_MAP_SECONDS else []
        return replace(
            current_map,
            frame=pending.frame,
            held=current is not pending,
            caption_note=" · ".join([*self._latency_label(), *notes]),
        )

    def _latency_label(self) -> list[str]:
        """How old pictures are when they are shown, in words; new once a second, so that it can be read."""
        now = time.monotonic()
        if now - self._latency_text_time >= 1:
            self._latency_text, self._latency_text_time = f"{self._stats.recent_latency.p50:.0f} ms", now
        return [self._latency_text]

    def _make_painter(self, info: SourceInfo) -> FrameRenderer:
        size = info.width, info.height
        binding = self._binding
        if binding is None or self._current is None:
            return FrameRenderer(
                self._draw, info, fit_to_input("stretch", size, size), detail="", panels=self._num_targets
            )
        return FrameRenderer(
            self._draw,
            info,
            binding.geometry,
            detail=binding.caption_detail,
            panels=binding.num_targets,
            display=binding.map_kind,
        )

    def _redraw(self) -> None:
        """Lets watchers who came since the last picture see it, and all see it as it is to look by now."""
        if self._last is None or self._source is None:
            return
        video_frame, item = self._last
        changed = self._painter is None
        if changed:
            self._painter = self._make_painter(self._source)
            video_frame = self._painter.draw(item)
            self._last = video_frame, item
        if self.jpegs.has_new_subscriber or (changed and self.jpegs.num_subscribers):
            self.jpegs.put(self._encode_jpeg(video_frame))
