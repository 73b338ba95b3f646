"""The maps of frames that the model did not look at.

With a the explained frame before, at time tₐ, b the one after, at t_b, and w = (t − tₐ) / (t_b − tₐ) for a frame at t:

    hold      map = map_a
    linear    map = (1 − w) · map_a + w · map_b
    flow      map = (1 − w) · moved(map_a) + w · moved(map_b)         each moved along the optical flow (`Motion`)

Score and probability are mixed with the same w. Two maps are mixed only where they are of the same target and their
pictures are not `unlike` (with ``flow``: once they are moved): a mix of the evidence for two classes, or from both
sides of a cut, would be evidence for nothing. There, and where no later frame was explained, the earlier map stays;
with ``flow`` it still moves.

At most `LONGEST` frames wait for the next explained one. Where more lie between, those in front go on without it, and
tₐ is the time of the last of them, so that nothing jumps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ..config import Between
from ..flow import StageClock
from ..frames import Evidence, Explained, Heatmap
from ..geometry import Geometry
from .change import LONGEST, samples, unlike
from .motion import Motion


def between(
    items: Iterable[Explained], how: Between, geometry: Geometry, clock: StageClock | None = None
) -> Iterator[Explained]:
    """Gives each frame that holds an earlier map what lies between that and the next.

    When the source breaks, what was read before still goes on, then the error rises.

    Args:
        items: frames in order; those with `Explained.held` come with the evidence before them. The first is explained.
        how: ``hold`` passes everything on as it is and waits for nothing.
        geometry: how the pictures lie in the model's input.
        clock: told of the time it takes, as ``draw``.
    """
    if how == "hold":
        yield from items
        return
    mixer = _Mixer(Motion(geometry) if how == "flow" else None, clock or StageClock())
    waiting: deque[Explained] = deque()
    try:
        for item in items:
            if item.held:
                waiting.append(item)
                if len(waiting) > LONGEST:
                    yield mixer.mixed(waiting.popleft(), None)
                continue
            later = mixer.look(item)
            while waiting:
                yield mixer.mixed(waiting.popleft(), later)
            mixer.earlier, mixer.since = later, item.frame.pts
            yield item
    except Exception:
        while waiting:
            yield mixer.mixed(waiting.popleft(), None)
        raise
    while waiting:
        yield mixer.mixed(waiting.popleft(), None)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """An explained frame and what its picture is compared by; the picture itself may go."""

    evidence: tuple[Evidence, ...]
    pts: int
    luma: NDArray[Any]


class _Mixer:
    """Makes the evidence between two explained frames.

    Attributes:
        earlier: the explained frame before.
        since: the time, in the source's time base, at which its map stands alone for the last time.
    """

    def __init__(self, motion: Motion | None, clock: StageClock) -> None:
        self._motion = motion
        self._clock = clock
        self.earlier: _Look | None = None
        self.since = 0

    def look(self, item: Explained) -> _Look:
        """What is needed of an explained frame."""
        with self._clock("draw"):
            luma = self._motion.luma(item.frame) if self._motion else samples(item.frame)[0]
            return _Look(item.evidence, item.frame.pts, luma)

    def mixed(self, item: Explained, later: _Look | None) -> Explained:
        """The frame with what lies between `earlier` and ``later``, or with the earlier alone where that is None."""
        assert self.earlier is not None
        with self._clock("draw"):
            before, after = self._maps(item, later)
            if later is None:
                self.since = item.frame.pts
            if later is None or after is None:
                evidence = tuple(replace(e, heatmap=m) for e, m in zip(item.evidence, before, strict=True))
            else:
                w = (item.frame.pts - self.since) / (later.pts - self.since)
                evidence = tuple(map(_mix, self.earlier.evidence, later.evidence, before, after, [w] * len(before)))
            return replace(item, evidence=evidence)

    def _maps(self, item: Explained, later: _Look | None) -> tuple[list[Heatmap], list[Heatmap] | None]:
        """The maps before and after a frame as they lie in its picture; None where there is nothing to mix."""
        earlier = self.earlier
        assert earlier is not None
        before = [evidence.heatmap for evidence in earlier.evidence]
        after = [evidence.heatmap for evidence in later.evidence] if later else None
        if self._motion is None:
            alike = later is not None and not unlike(earlier.luma, later.luma)
            return before, after if alike else None
        here = self._motion.luma(item.frame)
        moved = self._motion.moved(before, earlier.luma, here)
        if moved is None or later is None or after is None:
            return moved or before, None
        return moved, self._motion.moved(after, later.luma, here)


def _mix(a: Evidence, b: Evidence, before: Heatmap, after: Heatmap, w: float) -> Evidence:
    if (a.target, a.label) != (b.target, b.label):
        return replace(a, heatmap=before)
    probability = None
    if a.probability is not None and b.probability is not None:
        probability = (1 - w) * a.probability + w * b.probability
    heatmap = ((1 - w) * before + w * after).astype(before.dtype)
    return replace(a, heatmap=heatmap, score=(1 - w) * a.score + w * b.score, probability=probability)
