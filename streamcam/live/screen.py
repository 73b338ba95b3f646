"""What is shown of one camera: each picture in its turn, with the newest map there is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..compose import Painter
from ..config import DrawOptions
from ..flow import Cancelled
from ..frames import Explained, SourceInfo
from ..geometry import fit
from ..temporal import FullScale
from .broadcast import Broadcast
from .pace import Pace
from .tally import Tally

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .lens import Optic
    from .shot import Shot

PATIENCE = 0.15
"""Seconds that a picture may wait for its own map."""

_HALF_LIFE = 60.0
_STALE = 0.15
"""Seconds from which on the picture says how old its map is."""

_IDLE = 0.5
"""Seconds without a new picture after which a watcher who has just come is shown the last one."""

_MOST = 64
"""Pictures that may wait, whatever their age: memory stays bounded."""


class Taker(Protocol):
    """Whoever is handed each shown picture and must not wait, such as `streamcam.sinks.outlet.Outlet`."""

    def offer(self, picture: VideoFrame, pts: int) -> None:
        """Takes a picture; pts in 1/90000 s."""
        ...


class Screen:
    """Draws one camera's pictures in a thread of its own (`run`) and hands them on.

    A picture is shown with its own map where the model keeps up; see `Pace`. Otherwise it is shown at once, with the
    newest map of an earlier picture, and says how old that is.

    Args:
        draw: how pictures look.
        scale: as in `TimeOptions`.
        targets: how many maps a picture will have, where the model is not ready yet.
        max_age: seconds; older pictures are left out and counted.
        tally: counts.
        takers: are handed every picture.
        encode: a picture as JPEG, for `jpegs`.

    Attributes:
        jpegs: what watchers see.
        pictures: the same before it is encoded, with its pts in 1/90000 s.
        paused: True while nothing new is shown.
    """

    def __init__(
        self,
        draw: DrawOptions,
        scale: str | float,
        *,
        targets: int,
        max_age: float,
        tally: Tally,
        takers: Sequence[Taker] = (),
        encode: Callable[[VideoFrame], bytes],
    ) -> None:
        self.jpegs = Broadcast(b"")
        self.pictures: Broadcast[tuple[VideoFrame, int] | None] = Broadcast(None)
        self.paused = False
        self._draw, self._scaling = draw, scale
        self._targets = targets
        self._max_age = max_age
        self._tally = tally
        self._takers = takers
        self._encode = encode
        self._pace = Pace(min(PATIENCE, max_age / 2))
        self._pictures: deque[Shot] = deque()
        self._seen: list[Shot] = []
        self._stopped = self._showing = False
        self._changed = threading.Condition()
        self._source: SourceInfo | None = None
        self._optic: Optic | None = None
        self._current: Shot | None = None
        self._map: Explained | None = None
        self._painter: Painter | None = None
        self._full_scale = FullScale(scale)
        self._last: tuple[VideoFrame, Explained] | None = None
        self._told, self._told_at = "", 0.0

    @property
    def draw(self) -> DrawOptions:
        """How pictures look; a new value is seen from the next picture on."""
        return self._draw

    @draw.setter
    def draw(self, draw: DrawOptions) -> None:
        self._draw, self._painter = draw, None

    @property
    def last(self) -> tuple[VideoFrame, Explained] | None:
        """The picture that was shown last, and what was drawn on it; None before the first."""
        return self._last

    @property
    def map_age(self) -> float | None:
        """Seconds since the picture came whose map is shown; None where there is none."""
        current = self._current
        return None if current is None else time.monotonic() - current.frame.arrived

    def put(self, shot: Shot) -> None:
        """The camera's newest frame. Never waits."""
        with self._changed:
            self._pictures.append(shot)
            if len(self._pictures) > _MOST:
                self._pictures.popleft()
                self._tally.dropped()
            self._changed.notify()

    def settled(self, shot: Shot) -> None:
        """See `Awaiting`."""
        with self._changed:
            if shot.explained is not None:
                self._tally.explained()
                self._pace.explained(time.monotonic() - shot.frame.arrived)
                self._seen.append(shot)
            elif shot.optic is not None:
                self._pace.passed()
            self._changed.notify()

    def drain(self) -> None:
        """Waits until all that was put is shown or left out."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not (self._pictures or self._showing))

    def stop(self) -> None:
        """Ends `run` soon."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        """Shows picture after picture until it is stopped.

        Raises:
            Cancelled: it was stopped.
        """
        while True:
            shot = self._next()
            if shot is None:
                self._show_again()
            elif time.monotonic() - shot.frame.arrived > self._max_age:
                self._tally.dropped()
            else:
                self._show(shot)

    def _next(self) -> Shot | None:
        """The next picture, when its turn has come; None when there was none for a while."""
        idle = time.monotonic() + _IDLE
        with self._changed:
            self._showing = False
            self._changed.notify_all()
            while True:
                if self._stopped:
                    raise Cancelled
                now = time.monotonic()
                if self._pictures:
                    due = self._pictures[0].frame.arrived + self._pace.patience
                    if not self._pictures[0].waiting or now >= due:
                        self._showing = True
                        return self._pictures.popleft()
                    self._changed.wait(due - now)
                elif now >= idle:
                    return None
                else:
                    self._changed.wait(idle - now)

    def _show(self, shot: Shot) -> None:
        if shot.info is not self._source:
            # Maps of other pictures say nothing about these.
            self._source, self._painter, self._current, self._map = shot.info, None, None, None
        self._take_maps(shot)
        item = self._item(shot)
        painter = self._painter or self._made(shot.info)
        self._painter = painter
        picture = painter.draw(item)
        encoded = self._encode(picture) if self.jpegs.watchers else None
        if time.monotonic() - shot.frame.arrived > self._max_age:
            self._tally.dropped()
            return
        for taker in self._takers:
            taker.offer(picture, shot.frame.pts)
        self.pictures.put((picture, shot.frame.pts))
        if encoded is not None:
            self.jpegs.put(encoded)
        self._last = picture, item
        self._tally.shown(time.monotonic() - shot.frame.arrived)

    def _take_maps(self, shot: Shot) -> None:
        """Makes the newest map that is not of a later picture the current one."""
        with self._changed:
            reached = [seen for seen in self._seen if seen.frame.index <= shot.frame.index]
            self._seen = [seen for seen in self._seen if seen.frame.index > shot.frame.index]
        for seen in sorted(reached, key=lambda seen: seen.frame.index):
            if seen.info is not shot.info or seen.explained is None or seen.optic is None:
                continue
            if seen.optic.kernels.explainer is not (self._optic and self._optic.kernels.explainer):
                self._full_scale = FullScale(self._scaling, seen.optic.display, half_life=_HALF_LIFE)
            if seen.optic is not self._optic:
                self._optic, self._painter = seen.optic, None
            passed = seen.frame.arrived - self._current.frame.arrived if self._current else 0.0
            self._map = self._full_scale(seen.explained, max(0.0, passed))
            self._current = seen

    def _item(self, shot: Shot) -> Explained:
        current, shown = self._current, self._map
        if current is None or shown is None:
            return Explained(shot.frame, (), held=True)
        behind = shot.frame.arrived - current.frame.arrived
        notes = [f"map {behind:.1f} s old"] if behind >= _STALE else []
        return replace(shown, frame=shot.frame, held=current is not shot, note=" · ".join([*self._latency(), *notes]))

    def _latency(self) -> list[str]:
        """How old pictures are when they are shown, in words; new once a second, so that it can be read."""
        now = time.monotonic()
        if now - self._told_at >= 1:
            self._told, self._told_at = f"{self._tally.recent.p50:.0f} ms", now
        return [self._told]

    def _made(self, info: SourceInfo) -> Painter:
        size = info.width, info.height
        optic = self._optic
        if optic is None or self._current is None:
            return Painter(self._draw, info, fit("stretch", size, size), detail="", panels=self._targets)
        return Painter(
            self._draw, info, optic.geometry, detail=optic.detail, panels=optic.targets, display=optic.display
        )

    def _show_again(self) -> None:
        """Lets watchers who came since the last picture see it, and all see it as it is to look by now."""
        if self._last is None or self._source is None:
            return
        picture, item = self._last
        changed = self._painter is None
        if changed:
            self._painter = self._made(self._source)
            picture = self._painter.draw(item)
            self._last = picture, item
        if self.jpegs.expected or (changed and self.jpegs.watchers):
            self.jpegs.put(self._encode(picture))
