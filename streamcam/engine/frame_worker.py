"""Explain batches of frames on one replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..concurrency.group import StageTimer
from ..frames import Batch, RgbImage
from ..models import TargetSet
from ..notes import get_logger
from .multi_pass import Progress
from .results import ExplainedBatch, make_explained_frames
from .runtime.replica import DeviceReplica

logger = get_logger(__name__)


def frame_worker(
    replica: DeviceReplica,
    target_set: TargetSet,
    labels: Sequence[str],
    timer: StageTimer,
    progress: Progress | None,
    check_first_frames: Callable[[Callable[[], RgbImage]], str],
) -> Callable[[Batch], ExplainedBatch]:
    """Return a function that explains batches; callable from several threads.

    Args:
        replica: runs the model.
        target_set: the explained targets.
        labels: names of the classes.
        timer: counts the time as ``model``.
        progress: called with passes done and passes in all, for methods of many.
        check_first_frames: returns a note on the frames' inputs; empty if there is none.
    """

    def explain_batch(batch: Batch) -> ExplainedBatch:
        frames = [frame for frame in batch if frame.model_input is not None]
        pixels = [frame.model_input for frame in batch if frame.model_input is not None]
        if not frames:
            return batch, ()
        if note := check_first_frames(lambda: np.stack(pixels)):
            logger.warning("%s", note)
        with timer("model"):
            result = replica(np.stack(pixels), target_set.codes, progress)
        return batch, make_explained_frames(frames, result, target_set.targets, labels)

    return explain_batch
