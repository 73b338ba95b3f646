"""Explain pending frames on one device; the others take over if it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..concurrency.group import StageTimer
from ..errors import StreamcamError
from ..frames import ColorSpec, Frame
from ..geometry import Geometry
from .model_binding import ModelBinding
from .pending_frame import PendingFrame

if TYPE_CHECKING:
    from ..sources.resize import InputResizer

LogOnce = Callable[[int, str], None]
"""Logs a line at a level, unless it was logged before."""


def inference_loop(device: str, next_batch: Callable[[], tuple[PendingFrame, ...]], log_once: LogOnce) -> None:
    """Explain batches on a device, until it fails or the run ends.

    Args:
        device: one of the explainer's devices.
        next_batch: returns the next frames, all of one `BatchSizes`; raises `Cancelled` in the end.
        log_once: logs the errors of single frames.

    Raises:
        StreamcamError: the model or the last device failed.
    """
    from ..sources.resize import InputResizer

    resizers: dict[tuple[Geometry, ColorSpec], InputResizer] = {}

    def resizer_for(binding: ModelBinding) -> InputResizer:
        key = binding.geometry, binding.color
        if key not in resizers:
            resizers[key] = InputResizer(*key)
        return resizers[key]

    while _explain(device, next_batch(), resizer_for, log_once):
        pass


def _explain(
    device: str,
    batch: Sequence[PendingFrame],
    resizer_for: Callable[[ModelBinding], InputResizer],
    log_once: LogOnce,
) -> bool:
    """Explain frames, on another device if this one fails, and resolve them; False once it has failed."""
    bindings = [pending.binding for pending in batch if pending.binding is not None]
    pool = bindings[0].batch_sizes.explainer.pool
    explained = False
    try:
        frames = tuple(
            replace(pending.frame, model_input=resizer_for(binding)(pending.frame.model_source))
            for pending, binding in zip(batch, bindings, strict=True)
        )
        while not explained:
            chosen = device if pool.is_active(device) else pool.active[0]
            try:
                _explain_on(chosen, batch, bindings[0], frames, log_once)
                explained = True
            except StreamcamError as error:
                pool.disable(chosen, error)
    except StreamcamError:
        for pending in batch:
            pending.resolve(None)
        raise
    return pool.is_active(device)


def _explain_on(
    device: str, batch: Sequence[PendingFrame], binding: ModelBinding, frames: tuple[Frame, ...], log_once: LogOnce
) -> None:
    batch_sizes = binding.batch_sizes
    replica = batch_sizes.replica_on(device, len(batch))
    started = time.monotonic()
    (worker,) = batch_sizes.explainer.workers((replica,), StageTimer())
    _, explained = worker(frames)
    batch_sizes.record_time(len(batch), time.monotonic() - started)
    for pending, result in zip(batch, explained, strict=True):
        for error in result.errors:
            log_once(logging.WARNING, f"{error}; no map is drawn")
        pending.resolve(result)
