"""The maps of frames that the model did not look at.

With a the explained frame before, at time tₐ, b the one after, at t_b, and w = (t − tₐ) / (t_b − tₐ) for a frame at t:

    hold      map = map_a
    linear    map = (1 − w) · map_a + w · map_b
    flow      map = (1 − w) · moved(map_a) + w · moved(map_b)         each moved along the optical flow (`Motion`)

Score and probability are mixed with the same w. Two maps are mixed only where they are of the same target and the two
pictures are not `unlike`: a mix of the evidence for two classes, or from both sides of a cut, would be evidence for
nothing. There, and where no later frame was explained, the earlier map stays; with ``flow`` it still moves.

At most `LONGEST` frames wait for the next explained one. Where more lie between, those in front go on without it, and
tₐ is the time of the last of them, so that nothing jumps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..config import Between
from ..flow import StageClock
from ..frames import Evidence, Explained, Heatmap
from ..geometry import Geometry
from .change import LONGEST, Samples, samples, unlike
from .motion import Luma, Motion


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
    samples: Samples
    luma: Luma | None


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
            luma = self._motion.luma(item.frame) if self._motion else None
            return _Look(item.evidence, item.frame.pts, samples(item.frame), luma)

    def mixed(self, item: Explained, later: _Look | None) -> Explained:
        """The frame with what lies between `earlier` and ``later``, or with the earlier alone where that is None."""
        assert self.earlier is not None
        with self._clock("draw"):
            before = self._maps(self.earlier, item)
            if later is None:
                self.since = item.frame.pts
            if later is None or unlike(self.earlier.samples, later.samples):
                evidence = tuple(replace(e, heatmap=m) for e, m in zip(item.evidence, before, strict=True))
                return replace(item, evidence=evidence)
            after = self._maps(later, item)
            w = (item.frame.pts - self.since) / (later.pts - self.since)
            evidence = tuple(map(_mix, self.earlier.evidence, later.evidence, before, after, [w] * len(before)))
            return replace(item, evidence=evidence)

    def _maps(self, look: _Look, item: Explained) -> list[Heatmap]:
        maps = [evidence.heatmap for evidence in look.evidence]
        if self._motion is None or look.luma is None or unlike(look.samples, samples(item.frame)):
            return maps
        return self._motion.moved(maps, look.luma, self._motion.luma(item.frame))


def _mix(a: Evidence, b: Evidence, before: Heatmap, after: Heatmap, w: float) -> Evidence:
    if (a.target, a.label) != (b.target, b.label):
        return replace(a, heatmap=before)
    probability = None
    if a.probability is not None and b.probability is not None:
        probability = (1 - w) * a.probability + w * b.probability
    heatmap = ((1 - w) * before + w * after).astype(before.dtype)
    return replace(a, heatmap=heatmap, score=(1 - w) * a.score + w * b.score, probability=probability)
