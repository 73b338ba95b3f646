"""Draw one camera's frames in order, each with the newest map."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..compose import FrameRenderer
from ..concurrency.cpu_slots import UNLIMITED, CpuSlot
from ..concurrency.group import Cancelled
from ..frames import CaptionFacts, ExplainedFrame, SourceInfo
from ..geometry import fit_to_input
from ..options import DrawOptions
from ..sources.cameras.clocks import TICKS_PER_SECOND
from ..temporal import Normalizer
from .caption_note import CaptionNote
from .latest_value import LatestValue
from .stats import FrameStats
from .sync_policy import SyncPolicy

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .model_binding import ModelBinding
    from .pending_frame import PendingFrame

MAX_MAP_WAIT_SECONDS = 0.15
"""The longest wait of a frame for its own map."""

_HALF_LIFE_SECONDS = 60.0
_IDLE_SECONDS = 0.5
"""A new viewer gets the last frame after so long without a new one."""
_CPU_FRAMES = 4
"""Frames between two readings of the CPU time, which take 0.1 ms on some machines."""
_MAX_QUEUED = 64
"""Limit of the queue, so that memory stays bounded."""


class FrameConsumer(Protocol):
    """Takes each shown frame and never waits, such as `streamcam.sinks.push.output.PushOutput`."""

    def submit(self, video_frame: VideoFrame, pts: int) -> None:
        """Take a frame; pts in 1/90000 s."""
        ...


class CameraRenderer:
    """Draws one camera's frames in its own thread, for consumers and viewers.

    A frame is shown with its own map while the model keeps up; see `SyncPolicy`. Otherwise it is shown at once with
    the newest map of an earlier frame, and the caption shows the lag.

    Args:
        draw: drawing options.
        scale: normalization, as in `TemporalOptions`.
        num_targets: maps a frame will have once the model is ready.
        max_latency_seconds: later frames are dropped and counted.
        stats: counts frames and latencies.
        consumers: take every shown frame.
        encode_jpeg: encodes a frame for `jpegs`.
        cpu_slot: entered while a frame is drawn and encoded.

    Attributes:
        jpegs: shown frames as JPEG, encoded only while there are viewers.
        frames: the same frames before encoding, with pts in 1/90000 s.
        paused: True while the shown frame is frozen.
        cpu_seconds: CPU time of `run`.
        on_idle: called after 0.5 s without a new frame, in the thread of `run`.
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
        cpu_slot: CpuSlot = UNLIMITED,
    ) -> None:
        self.jpegs = LatestValue(b"")
        self.frames: LatestValue[tuple[VideoFrame, int] | None] = LatestValue(None)
        self.paused = False
        self.cpu_seconds = 0.0
        self.on_idle: Callable[[], None] = lambda: None
        self._draw, self._scaling = draw, scale
        self._num_targets = num_targets
        self._max_latency_seconds = max_latency_seconds
        self._stats = stats
        self._consumers = consumers
        self._encode_jpeg, self._cpu_slot = encode_jpeg, cpu_slot
        self._sync_policy = SyncPolicy(min(MAX_MAP_WAIT_SECONDS, max_latency_seconds / 2))
        self._queue: deque[PendingFrame] = deque()
        self._results: list[PendingFrame] = []
        self._stopped = self._showing = False
        self._condition = threading.Condition()
        self._source: SourceInfo | None = None
        self._binding: ModelBinding | None = None
        self._current: PendingFrame | None = None
        self._map: ExplainedFrame | None = None
        self._frame_renderer: FrameRenderer | None = None
        self._normalizer = Normalizer(scale)
        self._last: tuple[VideoFrame, ExplainedFrame] | None = None
        self._last_pending: PendingFrame | None = None
        self._caption_note = CaptionNote(stats)

    @property
    def draw(self) -> DrawOptions:
        """Drawing options; a new value takes effect at the next frame."""
        return self._draw

    @draw.setter
    def draw(self, draw: DrawOptions) -> None:
        self._draw, self._frame_renderer = draw, None

    @property
    def last(self) -> tuple[VideoFrame, ExplainedFrame] | None:
        """The last shown frame, drawn, and its explanation; None before the first."""
        return self._last

    @property
    def map_latency_seconds(self) -> float | None:
        """Seconds since the capture of the frame whose map is shown; None without a map."""
        current = self._current
        return None if current is None else time.monotonic() - current.frame.latency_start

    def put(self, pending: PendingFrame) -> None:
        """Queue the camera's newest frame. Never waits."""
        with self._condition:
            self._queue.append(pending)
            if len(self._queue) > _MAX_QUEUED:
                self._queue.popleft()
                self._stats.count_dropped()
            self._condition.notify()

    def on_resolved(self, pending: PendingFrame) -> None:
        """See `ResultListener`."""
        with self._condition:
            if pending.explained is not None:
                self._stats.count_explained()
                self._sync_policy.record_explained(time.monotonic() - pending.frame.arrival_time)
                self._results.append(pending)
            elif pending.binding is not None:
                self._sync_policy.record_dropped()
            self._condition.notify()

    def drain(self) -> None:
        """Wait until every queued frame is shown or dropped."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or not (self._queue or self._showing))

    def stop(self) -> None:
        """Make `run` end soon."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def run(self) -> None:
        """Show frame after frame until `stop`.

        Raises:
            Cancelled: after `stop`.
        """
        while True:
            pending = self._next()
            if pending is None:
                self.on_idle()
                self._redraw()
            elif time.monotonic() - pending.frame.arrival_time > self._max_latency_seconds:
                self._stats.count_dropped()
            else:
                with self._cpu_slot:
                    self._show(pending)
                if self._stats.frames_shown % _CPU_FRAMES == 0:
                    self.cpu_seconds = time.thread_time()

    def _next(self) -> PendingFrame | None:
        """Wait for the next frame that is due; return None after `_IDLE_SECONDS` without one."""
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
            # Maps of another resolution do not fit these frames.
            self._source, self._frame_renderer, self._current, self._map = pending.info, None, None, None
        self._update_map(pending)
        item = self._explained_frame(pending)
        frame_renderer = self._frame_renderer or self._make_frame_renderer(pending.info)
        self._frame_renderer = frame_renderer
        video_frame = frame_renderer.draw(item)
        jpeg = self._encode_jpeg(video_frame) if self.jpegs.num_subscribers else None
        if time.monotonic() - pending.frame.arrival_time > self._max_latency_seconds:
            self._stats.count_dropped()
            return
        for consumer in self._consumers:
            consumer.submit(video_frame, pending.frame.pts)
        self.frames.put((video_frame, pending.frame.pts))
        if jpeg is not None:
            self.jpegs.put(jpeg)
        self._last, self._last_pending = (video_frame, item), pending
        self._stats.count_shown(time.monotonic() - pending.frame.latency_start)

    def _update_map(self, pending: PendingFrame) -> None:
        """Apply the newest map that belongs to no later frame."""
        with self._condition:
            reached = [result for result in self._results if result.frame.index <= pending.frame.index]
            self._results = [result for result in self._results if result.frame.index > pending.frame.index]
        for result in sorted(reached, key=lambda result: result.frame.index):
            if result.info is not pending.info or result.explained is None or result.binding is None:
                continue
            if result.binding.batch_sizes.explainer is not (self._binding and self._binding.batch_sizes.explainer):
                self._normalizer = Normalizer(
                    self._scaling, result.binding.map_kind, half_life_seconds=_HALF_LIFE_SECONDS
                )
            if result.binding is not self._binding:
                self._binding, self._frame_renderer = result.binding, None
            elapsed_seconds = result.frame.arrival_time - self._current.frame.arrival_time if self._current else 0.0
            self._map = self._normalizer(result.explained, max(0.0, elapsed_seconds))
            self._current = result

    def _explained_frame(self, pending: PendingFrame) -> ExplainedFrame:
        current, current_map = self._current, self._map
        if current is None or current_map is None:
            return ExplainedFrame(pending.frame, (), held=True)
        lag_seconds = pending.frame.arrival_time - current.frame.arrival_time
        return replace(
            current_map,
            frame=pending.frame,
            held=current.frame.index != pending.frame.index,
            caption_note=self._caption_note.text(lag_seconds),
        )

    def _make_frame_renderer(self, info: SourceInfo) -> FrameRenderer:
        size = info.width, info.height
        binding = self._binding
        if binding is None or self._current is None:
            return FrameRenderer(
                self._draw, info, fit_to_input("stretch", size, size), facts=CaptionFacts(), panels=self._num_targets
            )
        return FrameRenderer(
            self._draw,
            info,
            binding.geometry,
            facts=binding.caption_facts,
            panels=binding.num_targets,
            map_kind=binding.map_kind,
        )

    def _redraw(self) -> None:
        """Show the last frame to new viewers.

        Show it to all viewers after a change of drawing options, and to outputs too once its map has come late.
        """
        last, pending = self._last, self._last_pending
        if last is None or pending is None or self._source is None:
            return
        (video_frame, item), previous_map = last, self._current
        self._update_map(pending)
        has_map = self._current is not previous_map
        changed = has_map or self._frame_renderer is None
        if changed:
            item = self._explained_frame(pending) if has_map else item
            self._frame_renderer = self._frame_renderer or self._make_frame_renderer(self._source)
            video_frame = self._frame_renderer.draw(item)
            self._last = video_frame, item
        if has_map:
            # Between this frame and the next one: half a second behind the clock, as frames that fill a silence.
            waited_seconds = time.monotonic() - pending.frame.arrival_time - _IDLE_SECONDS
            pts = pending.frame.pts + max(1, round(waited_seconds * TICKS_PER_SECOND))
            for consumer in self._consumers:
                consumer.submit(video_frame, pts)
            self.frames.put((video_frame, pts))
        if self.jpegs.has_new_subscriber or (changed and self.jpegs.num_subscribers):
            self.jpegs.put(self._encode_jpeg(video_frame))
