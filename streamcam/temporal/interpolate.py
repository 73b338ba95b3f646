"""The maps of frames that were not explained themselves.

With a the explained frame before, at time tₐ, b the one after, at t_b, and w = (t − tₐ) / (t_b − tₐ) for a frame at t:

    hold      map = map_a
    linear    map = (1 − w) · map_a + w · map_b
    flow      map = (1 − w) · moved(map_a) + w · moved(map_b)         each moved along the optical flow (`FlowWarper`)

Score and probability are mixed with the same w. Two maps are mixed only where they are of the same target and their
images are not separated by a cut (`is_cut`; with ``flow``: once they are moved): a mix of the attributions of two
classes or two scenes would explain neither. There, and if no later frame was explained, the earlier map stays; with
``flow`` it still moves.

At most ``max_waiting`` frames wait for the next explained one. If more lie between, the first continue without it,
and tₐ is the time of the last of them, so that nothing jumps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ..concurrency.group import StageTimer
from ..frames import Attribution, ExplainedFrame, Heatmap
from ..geometry import Geometry
from ..options import Interpolation
from .change_detection import MAX_HOLD_FRAMES, is_cut, thumbnail_planes
from .optical_flow import FlowWarper


def interpolate_maps(
    items: Iterable[ExplainedFrame],
    interpolation: Interpolation,
    geometry: Geometry,
    timer: StageTimer | None = None,
    *,
    max_waiting: int = MAX_HOLD_FRAMES,
) -> Iterator[ExplainedFrame]:
    """Interpolate the maps of held frames between the explained frames around them.

    If the source fails, frames read before are yielded first, then the error is raised.

    Args:
        items: frames in order, the first explained; with `ExplainedFrame.held` they carry the attributions before them.
        interpolation: ``hold`` passes all frames on unchanged and never waits.
        geometry: position and scale of the frames in the model's input.
        timer: gets the time of the work, as ``draw``.
        max_waiting: most frames that wait for the next explained one.
    """
    if interpolation == "hold":
        yield from items
        return
    interpolator = MapInterpolator(FlowWarper(geometry) if interpolation == "flow" else None, timer or StageTimer())
    waiting: deque[ExplainedFrame] = deque()
    try:
        for item in items:
            if item.held:
                waiting.append(item)
                if len(waiting) > max_waiting:
                    yield interpolator.interpolate(waiting.popleft(), None)
                continue
            later = interpolator.make_keyed(item)
            while waiting:
                yield interpolator.interpolate(waiting.popleft(), later)
            interpolator.earlier, interpolator.start_pts = later, item.frame.pts
            yield item
    except Exception:
        while waiting:
            yield interpolator.interpolate(waiting.popleft(), None)
        raise
    while waiting:
        yield interpolator.interpolate(waiting.popleft(), None)


@dataclass(frozen=True, slots=True, eq=False)
class _Keyed:
    """An explained frame and the luma to compare it by.

    The frame itself can be freed.
    """

    attributions: tuple[Attribution, ...]
    pts: int
    luma: NDArray[Any]


class MapInterpolator:
    """Interpolates attributions between two explained frames.

    Attributes:
        earlier: the explained frame before.
        start_pts: the time, in the source's time base, at which its map has full weight for the last time.
    """

    def __init__(self, warper: FlowWarper | None, timer: StageTimer) -> None:
        self._warper = warper
        self._timer = timer
        self.earlier: _Keyed | None = None
        self.start_pts = 0

    def make_keyed(self, item: ExplainedFrame) -> _Keyed:
        """Return the parts of an explained frame that interpolation needs."""
        with self._timer("draw"):
            luma = self._warper.downscale_luma(item.frame) if self._warper else thumbnail_planes(item.frame)[0]
            return _Keyed(item.attributions, item.frame.pts, luma)

    def interpolate(self, item: ExplainedFrame, later: _Keyed | None) -> ExplainedFrame:
        """Return a frame with attributions between `earlier` and ``later``.

        If ``later`` is None, they are those of `earlier` alone.
        """
        assert self.earlier is not None
        with self._timer("draw"):
            before, after = self._aligned_maps(item, later)
            if later is None:
                self.start_pts = item.frame.pts
            if later is None or after is None:
                attributions = tuple(replace(e, heatmap=m) for e, m in zip(item.attributions, before, strict=True))
            else:
                w = (item.frame.pts - self.start_pts) / (later.pts - self.start_pts)
                attributions = tuple(
                    map(
                        _interpolate_attribution,
                        self.earlier.attributions,
                        later.attributions,
                        before,
                        after,
                        [w] * len(before),
                    )
                )
            return replace(item, attributions=attributions)

    def _aligned_maps(self, item: ExplainedFrame, later: _Keyed | None) -> tuple[list[Heatmap], list[Heatmap] | None]:
        """Return the maps before and after a frame, moved onto it.

        None if there is no second to mix.
        """
        earlier = self.earlier
        assert earlier is not None
        before = [attribution.heatmap for attribution in earlier.attributions]
        after = [attribution.heatmap for attribution in later.attributions] if later else None
        if self._warper is None:
            same_scene = later is not None and not is_cut(earlier.luma, later.luma)
            return before, after if same_scene else None
        luma = self._warper.downscale_luma(item.frame)
        warped = self._warper.warp(before, earlier.luma, luma)
        if warped is None or later is None or after is None:
            return warped or before, None
        return warped, self._warper.warp(after, later.luma, luma)


def _interpolate_attribution(a: Attribution, b: Attribution, before: Heatmap, after: Heatmap, w: float) -> Attribution:
    if (a.class_index, a.label) != (b.class_index, b.label):
        return replace(a, heatmap=before)
    probability = None
    if a.probability is not None and b.probability is not None:
        probability = (1 - w) * a.probability + w * b.probability
    heatmap = ((1 - w) * before + w * after).astype(before.dtype)
    return replace(a, heatmap=heatmap, score=(1 - w) * a.score + w * b.score, probability=probability)
