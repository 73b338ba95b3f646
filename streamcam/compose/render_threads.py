"""Drawing in several threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..concurrency.cpus import cpu_count
from ..concurrency.group import StageGroup, StageTimer
from ..frames import ExplainedFrame, SourceInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CORES_PER_RENDERER = 4
"""CPU cores for each thread that draws: it takes less than a fifth of a pipeline's CPU time."""


def renderer_count(info: SourceInfo, depth: int) -> int:
    """Return how many threads draw.

    Args:
        info: the source; one thread draws frames in GPU memory.
        depth: drawn frames that may wait; no more threads than that, as each holds a frame too.
    """
    return 1 if info.on_gpu else max(1, min(cpu_count() // CORES_PER_RENDERER, depth))


def render_ahead(
    items: Iterable[ExplainedFrame],
    draws: Sequence[Callable[[ExplainedFrame], VideoFrame]],
    group: StageGroup,
    timer: StageTimer,
    *,
    depth: int,
) -> Iterator[tuple[ExplainedFrame, VideoFrame]]:
    """Draw frames in several threads, ahead of the consumer and in order.

    Args:
        items: explained frames; consumed by one thread.
        draws: draw a frame each; one for each thread.
        group: owns the threads.
        timer: counts the time of each thread as ``draw``.
        depth: number of drawn frames that may wait.
    """

    def work(draw: Callable[[ExplainedFrame], VideoFrame], item: ExplainedFrame) -> tuple[ExplainedFrame, VideoFrame]:
        with timer("draw"):
            return item, draw(item)

    ahead = group.prefetch(items, depth=1, name="normalize")
    return group.map_ordered(ahead, [functools.partial(work, draw) for draw in draws], depth=depth, name="draw")
