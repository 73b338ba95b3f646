"""One camera of a live run: its reader, its counts and its renderer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..concurrency.group import Cancelled
from ..errors import StreamcamError
from .inference import InferenceService
from .latest_value import LatestValue
from .pending_frame import PendingFrame
from .renderer import CameraRenderer
from .scheduler import FairScheduler
from .stats import FrameStats, Histogram
from .status import CameraState, CameraStatus, ClassScore, LatencyHistogram, Snapshot, TargetScore

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..sources.cameras.camera import Camera

_NUM_TOP_CLASSES = 5


class CameraSession:
    """One camera from reading to display; a `CameraHandle` for its viewers.

    Args:
        camera: reads the frames.
        renderer: draws and shows them.
        stats: counts them.
        inference: binds a frame to the model's input.
        scheduler: queues frames for the model.

    Attributes:
        name: name of the camera.
        error: why reading was given up; None otherwise.
        ended: True after the last frame.
    """

    def __init__(
        self,
        camera: Camera,
        renderer: CameraRenderer,
        stats: FrameStats,
        inference: InferenceService,
        scheduler: FairScheduler,
    ) -> None:
        self.name = camera.name
        self.error: StreamcamError | None = None
        self.ended = False
        self._camera, self._renderer, self._stats = camera, renderer, stats
        self._inference, self._scheduler = inference, scheduler
        self._size = 0, 0
        self._unexplained: PendingFrame | None = None
        renderer.on_idle = self._explain_last

    @property
    def jpegs(self) -> LatestValue[bytes]:
        """See `CameraHandle`."""
        return self._renderer.jpegs

    @property
    def frames(self) -> LatestValue[tuple[VideoFrame, int] | None]:
        """See `CameraHandle`."""
        return self._renderer.frames

    def read(self, on_end: Callable[[], None]) -> None:
        """Read the camera until it ends or fails for good; then call ``on_end``."""
        try:
            for info, frame in self._camera:
                self._size = info.width, info.height
                self._stats.count_received()
                if self._renderer.paused:
                    self._stats.count_paused()
                    continue
                pending = PendingFrame(self.name, info, frame, self._inference.binding_for(info), self)
                self._renderer.put(pending)
                self._unexplained = pending if pending.binding is None else None
                if pending.binding is None:
                    pending.resolve(None)
                else:
                    self._scheduler.submit(pending)
            self._renderer.drain()
        except Cancelled:
            raise
        except StreamcamError as error:
            self.error = error
        finally:
            self.ended = True
            on_end()

    def _explain_last(self) -> None:
        """Explain the last frame if the model was not ready for it; the next may be minutes away."""
        last = self._unexplained
        binding = None if last is None or self._renderer.paused else self._inference.binding_for(last.info)
        if last is not None and binding is not None:
            self._unexplained = None
            frame = replace(last.frame, arrival_time=time.monotonic())
            self._scheduler.submit(PendingFrame(self.name, last.info, frame, binding, self))

    def on_resolved(self, pending: PendingFrame) -> None:
        """See `ResultListener`."""
        item, binding = pending.explained, pending.binding
        if item is not None and binding is not None:
            attributions = () if item.errors else item.attributions
            if self._inference.zero_maps.count(attributions, binding.map_kind, binding.caption_facts.method):
                self._stats.count_zero_map()
        self._renderer.on_resolved(pending)

    def stop(self) -> None:
        """Make `read` return soon."""
        self._camera.stop()

    def pause(self, paused: bool) -> None:
        """See `CameraHandle`."""
        self._renderer.paused = paused

    def shown_jpeg(self) -> bytes:
        """See `CameraHandle`."""
        from ..media.image_bytes import encode_jpeg

        last = self._renderer.last
        return encode_jpeg(last[0]) if last else b""

    def snapshot(self) -> Snapshot | None:
        """See `CameraHandle`."""
        import numpy as np

        from ..media.image_bytes import encode_png

        last = self._renderer.last
        if last is None:
            return None
        video_frame, item = last
        maps = np.stack([attribution.heatmap for attribution in item.attributions]) if item.attributions else None
        return Snapshot(self.name, encode_png(video_frame), maps, self.status())

    @property
    def dropped(self) -> int:
        """Frames dropped for their latency or because of overload."""
        return self._stats.frames_dropped + self._camera.dropped

    @property
    def decode_cpu_seconds(self) -> float:
        """CPU seconds of reading and decoding."""
        return self._camera.cpu_seconds

    @property
    def draw_cpu_seconds(self) -> float:
        """CPU seconds of drawing and passing on."""
        return self._renderer.cpu_seconds

    @property
    def frames_thinned(self) -> int:
        """Frames dropped because the machine is overloaded."""
        return self._camera.thinned

    @property
    def is_promising(self) -> bool:
        """True while it delivers frames, or its first attempt is not over."""
        return not self.ended and (self._stats.frames_in > 0 or self._camera.state == "opening")

    @property
    def latencies(self) -> Histogram:
        """Latencies of all shown frames."""
        return self._stats.latencies

    @property
    def latency_histogram(self) -> LatencyHistogram:
        """See `CameraHandle`."""
        return self._stats.latency_histogram

    @property
    def _state(self) -> CameraState:
        if self.ended:
            return "ended"
        return "paused" if self._renderer.paused and self._camera.state == "live" else self._camera.state

    def status(self) -> CameraStatus:
        """Return the current state of the camera."""
        last, explainer = self._renderer.last, self._inference.explainer
        item = last[1] if last else None
        labels = explainer.info.labels if explainer else ()
        map_latency_seconds = self._renderer.map_latency_seconds
        return CameraStatus(
            name=self.name,
            source=self._camera.source,
            state=self._state,
            last_error=str(self.error or self._camera.last_error),
            stalled=self._stats.stalled,
            width=self._size[0],
            height=self._size[1],
            fps=self._stats.fps,
            explained_fps=self._stats.explained_fps,
            latency=self._stats.recent_latency,
            map_latency_ms=None if map_latency_seconds is None else round(map_latency_seconds * 1000, 1),
            frames_in=self.counts["frames_in"],
            frames_shown=self._stats.frames_shown,
            frames_explained=self._stats.frames_explained,
            frames_zero_map=self._stats.frames_zero_map,
            frames_dropped=self.dropped,
            reconnects=self._camera.reconnects,
            top=tuple(
                ClassScore(labels[c], p) for c, p in (item.top[:_NUM_TOP_CLASSES] if item else ()) if c < len(labels)
            ),
            targets=tuple(TargetScore(e.label, e.score, e.probability) for e in (item.attributions if item else ())),
            latency_source=self._camera.latency_source,
            viewers=self.jpegs.num_subscribers + self.frames.num_subscribers,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the camera's part of the ``--json`` summary."""
        status, latency = self.status(), self.latencies.latency
        return {
            "name": self.name,
            "source": status.source,
            **self.counts,
            "latency_ms": {"p50": latency.p50, "p99": latency.p99, "max": latency.max},
            "latency_source": status.latency_source,
            "last_error": status.last_error or None,
        }

    @property
    def counts(self) -> dict[str, int]:
        """Frames and reconnections since the start."""
        return {
            "frames_in": self._stats.frames_in + self._camera.dropped,
            "frames_shown": self._stats.frames_shown,
            "frames_explained": self._stats.frames_explained,
            "frames_zero_map": self._stats.frames_zero_map,
            "frames_dropped": self.dropped,
            "frames_paused": self._stats.frames_paused,
            "frames_skipped": self._camera.skipped,
            "reconnects": self._camera.reconnects,
        }
