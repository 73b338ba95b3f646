"""One camera with everything that belongs to it: what reads, what counts, what shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import StreamcamError
from ..flow import Cancelled
from .broadcast import Broadcast
from .desk import Desk
from .lens import Lens
from .screen import Screen
from .shot import Shot
from .status import CameraState, CameraStatus, ClassScore, Snapshot, TargetScore
from .tally import Histogram, Tally

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..sources.camera import Camera

_TOP = 5


class Feed:
    """A camera on its way to the screen; a `Monitor` for whoever watches it.

    Args:
        camera: what reads.
        screen: what shows.
        tally: what counts.
        lens, desk: where its frames are looked at.

    Attributes:
        name: the camera's.
        error: why it was given up; None while it was not.
        ended: True once nothing more comes.
    """

    def __init__(self, camera: Camera, screen: Screen, tally: Tally, lens: Lens, desk: Desk) -> None:
        self.name = camera.name
        self.error: StreamcamError | None = None
        self.ended = False
        self._camera, self._screen, self._tally = camera, screen, tally
        self._lens, self._desk = lens, desk
        self._size = 0, 0

    @property
    def jpegs(self) -> Broadcast[bytes]:
        """See `Monitor`."""
        return self._screen.jpegs

    @property
    def pictures(self) -> Broadcast[tuple[VideoFrame, int] | None]:
        """See `Monitor`."""
        return self._screen.pictures

    def read(self, ended: Callable[[], None]) -> None:
        """Reads the camera until it ends or is given up; then calls ``ended``."""
        try:
            for info, frame in self._camera:
                self._size = info.width, info.height
                self._tally.arrived()
                if self._screen.paused:
                    self._tally.paused()
                    continue
                shot = Shot(self.name, info, frame, self._lens.optic(info), self._screen)
                self._screen.put(shot)
                if shot.optic is None:
                    shot.settle(None)
                else:
                    self._desk.put(shot)
            self._screen.drain()
        except Cancelled:
            raise
        except StreamcamError as error:
            self.error = error
        finally:
            self.ended = True
            ended()

    def stop(self) -> None:
        """Ends `read` soon."""
        self._camera.stop()

    def pause(self, paused: bool) -> None:
        """See `Monitor`."""
        self._screen.paused = paused

    def snapshot(self) -> Snapshot | None:
        """See `Monitor`."""
        import numpy as np

        from ..sinks.stills import png

        last = self._screen.last
        if last is None:
            return None
        picture, item = last
        maps = np.stack([one.heatmap for one in item.evidence]) if item.evidence else None
        return Snapshot(self.name, png(picture), maps, self.status())

    @property
    def dropped(self) -> int:
        """Frames left out for their age, before or after decoding."""
        return self._tally.frames_dropped + self._camera.dropped

    @property
    def ages(self) -> Histogram:
        """Ages of all shown frames."""
        return self._tally.ages

    @property
    def _state(self) -> CameraState:
        if self.ended:
            return "ended"
        return "paused" if self._screen.paused and self._camera.state == "live" else self._camera.state

    def status(self) -> CameraStatus:
        """How things stand with this camera."""
        last, explainer = self._screen.last, self._lens.explainer
        item = last[1] if last else None
        labels = explainer.info.labels if explainer else ()
        age = self._screen.map_age
        return CameraStatus(
            name=self.name,
            source=self._camera.source,
            state=self._state,
            trouble=str(self.error or self._camera.trouble),
            width=self._size[0],
            height=self._size[1],
            fps=self._tally.fps,
            explained_fps=self._tally.explained_fps,
            ages=self._tally.recent,
            map_age_ms=None if age is None else round(age * 1000, 1),
            frames_in=self.counts["frames_in"],
            frames_shown=self._tally.frames_shown,
            frames_explained=self._tally.frames_explained,
            frames_dropped=self.dropped,
            reconnects=self._camera.reconnects,
            top=tuple(ClassScore(labels[c], p) for c, p in (item.top[:_TOP] if item else ()) if c < len(labels)),
            targets=tuple(TargetScore(e.label, e.score, e.probability) for e in (item.evidence if item else ())),
            watchers=self.jpegs.watchers + self.pictures.watchers,
        )

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` says of it."""
        status, ages = self.status(), self.ages.ages
        return {
            "name": self.name,
            "source": status.source,
            **self.counts,
            "age_ms": {"p50": ages.p50, "p99": ages.p99, "max": ages.max},
            "error": status.trouble or None,
        }

    @property
    def counts(self) -> dict[str, int]:
        """Frames and reconnections since the start."""
        return {
            "frames_in": self._tally.frames_in + self._camera.dropped,
            "frames_shown": self._tally.frames_shown,
            "frames_explained": self._tally.frames_explained,
            "frames_dropped": self.dropped,
            "frames_paused": self._tally.frames_paused,
            "frames_skipped": self._camera.skipped,
            "reconnects": self._camera.reconnects,
        }
