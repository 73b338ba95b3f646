"""One camera with everything that belongs to it: what reads, what counts, what shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..concurrency.group import Cancelled
from ..errors import StreamcamError
from .inference import InferenceService
from .latest_value import LatestValue
from .pending_frame import PendingFrame
from .renderer import CameraRenderer
from .scheduler import FairScheduler
from .stats import FrameStats, Histogram
from .status import CameraState, CameraStatus, ClassScore, Snapshot, TargetScore

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..sources.cameras.camera import Camera

_NUM_TOP_CLASSES = 5


class CameraSession:
    """A camera on its way to the screen; a `Monitor` for whoever watches it.

    Args:
        camera: what reads.
        renderer: what shows.
        stats: what counts.
        inference, scheduler: where its frames are looked at.

    Attributes:
        name: the camera's.
        error: why it was given up; None while it was not.
        ended: True once nothing more comes.
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

    @property
    def jpegs(self) -> LatestValue[bytes]:
        """See `Monitor`."""
        return self._renderer.jpegs

    @property
    def frames(self) -> LatestValue[tuple[VideoFrame, int] | None]:
        """See `Monitor`."""
        return self._renderer.frames

    def read(self, on_end: Callable[[], None]) -> None:
        """Reads the camera until it ends or is given up; then calls ``on_end``."""
        try:
            for info, frame in self._camera:
                self._size = info.width, info.height
                self._stats.count_received()
                if self._renderer.paused:
                    self._stats.count_paused()
                    continue
                pending = PendingFrame(self.name, info, frame, self._inference.binding_for(info), self._renderer)
                self._renderer.put(pending)
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

    def stop(self) -> None:
        """Ends `read` soon."""
        self._camera.stop()

    def pause(self, paused: bool) -> None:
        """See `Monitor`."""
        self._renderer.paused = paused

    def snapshot(self) -> Snapshot | None:
        """See `Monitor`."""
        import numpy as np

        from ..media.image_bytes import encode_png

        last = self._renderer.last
        if last is None:
            return None
        video_frame, item = last
        maps = np.stack([one.heatmap for one in item.attributions]) if item.attributions else None
        return Snapshot(self.name, encode_png(video_frame), maps, self.status())

    @property
    def dropped(self) -> int:
        """Frames left out for their age, before or after decoding."""
        return self._stats.frames_dropped + self._camera.dropped

    @property
    def latencies(self) -> Histogram:
        """Ages of all shown frames."""
        return self._stats.latencies

    @property
    def _state(self) -> CameraState:
        if self.ended:
            return "ended"
        return "paused" if self._renderer.paused and self._camera.state == "live" else self._camera.state

    def status(self) -> CameraStatus:
        """How things stand with this camera."""
        last, explainer = self._renderer.last, self._inference.explainer
        item = last[1] if last else None
        labels = explainer.info.labels if explainer else ()
        map_latency_seconds = self._renderer.map_latency_seconds
        return CameraStatus(
            name=self.name,
            source=self._camera.source,
            state=self._state,
            last_error=str(self.error or self._camera.last_error),
            width=self._size[0],
            height=self._size[1],
            fps=self._stats.fps,
            explained_fps=self._stats.explained_fps,
            latency=self._stats.recent_latency,
            map_latency_ms=None if map_latency_seconds is None else round(map_latency_seconds * 1000, 1),
            frames_in=self.counts["frames_in"],
            frames_shown=self._stats.frames_shown,
            frames_explained=self._stats.frames_explained,
            frames_dropped=self.dropped,
            reconnects=self._camera.reconnects,
            top=tuple(
                ClassScore(labels[c], p) for c, p in (item.top[:_NUM_TOP_CLASSES] if item else ()) if c < len(labels)
            ),
            targets=tuple(TargetScore(e.label, e.score, e.probability) for e in (item.attributions if item else ())),
            viewers=self.jpegs.num_subscribers + self.frames.num_subscribers,
        )

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` says of it."""
        status, latency = self.status(), self.latencies.latency
        return {
            "name": self.name,
            "source": status.source,
            **self.counts,
            "latency_ms": {"p50": latency.p50, "p99": latency.p99, "max": latency.max},
            "error": status.last_error or None,
        }

    @property
    def counts(self) -> dict[str, int]:
        """Frames and reconnections since the start."""
        return {
            "frames_in": self._stats.frames_in + self._camera.dropped,
            "frames_shown": self._stats.frames_shown,
            "frames_explained": self._stats.frames_explained,
            "frames_dropped": self.dropped,
            "frames_paused": self._stats.frames_paused,
            "frames_skipped": self._camera.skipped,
            "reconnects": self._camera.reconnects,
        }
