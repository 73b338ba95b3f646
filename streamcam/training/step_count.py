"""The steps of a run: epochs and batches trained, over several calls of ``fit``."""

from __future__ import annotations

from .loggers.base import Progress


class StepCount:
    """Counts the epochs and batches that were trained before an explanation.

    Args:
        every: ``epoch``, or the number of batches between two explanations.

    Attributes:
        epochs: complete epochs.
        batches: all batches.
        explained: step of the last explanation; None before the first.
        is_begun: True from the first epoch of a ``fit`` on.
    """

    def __init__(self, every: str | int) -> None:
        self._every = every
        self.epochs = self.batches = 0
        self.explained: int | None = None
        self.is_begun = False
        self._offset = self._batch_in_epoch = 0
        self._batches_per_epoch: int | None = None
        self._steps_by_epoch: dict[int, int] = {}

    @property
    def step(self) -> int:
        """Epochs or batches trained."""
        return self.epochs if self._every == "epoch" else self.batches

    @property
    def position(self) -> tuple[int, float]:
        """The step, and the epoch with a fraction within one."""
        fraction = self._batch_in_epoch / self._batches_per_epoch if self._batches_per_epoch else 0.0
        return self.step, self.epochs + min(fraction, 1.0)

    def open_fit(self, batches_per_epoch: int | None) -> None:
        """Prepare for a ``fit``; None for an unknown number of batches."""
        self.is_begun = False
        self._batches_per_epoch = batches_per_epoch

    def begin_anew(self) -> None:
        """Forget an earlier training."""
        self.epochs = self.batches = 0
        self.explained = None
        self._steps_by_epoch = {}

    def begin(self, epoch: int, iterations: int, logged: Progress, *, is_same_model: bool) -> None:
        """Continue the counts, those of a log, or those of a checkpoint.

        Args:
            epoch: first epoch of ``fit``, from 0.
            iterations: batches that the optimizer has trained; 0 after compiling again.
            logged: the state of the log.
            is_same_model: the object trained before, so that `epoch` may count from an earlier ``fit``.
        """
        self._steps_by_epoch = {**logged.steps_by_epoch, **self._steps_by_epoch}
        batches = max(self.batches, logged.last_step if self._every != "epoch" else 0, iterations)
        if epoch and not is_same_model:  # a checkpoint, which may be older than the log
            self.epochs = epoch
            if self._every != "epoch":
                batches = self._steps_by_epoch.get(epoch, iterations or batches)
        else:
            self.epochs = max(self.epochs, logged.epochs, epoch)
        self.batches = batches
        self._offset = self.epochs - epoch
        self.is_begun = True

    def begin_epoch(self) -> None:
        """Count from the first batch of an epoch."""
        self._batch_in_epoch = 0

    def end_batch(self, batch: int) -> bool:
        """Count batches up to one of the epoch; return True if an explanation is due."""
        before = self.batches
        self.batches += batch + 1 - self._batch_in_epoch  # several steps an execution are one call
        self._batch_in_epoch = batch + 1
        return self._every != "epoch" and self.batches // int(self._every) > before // int(self._every)

    def end_epoch(self, epoch: int) -> None:
        """Count an epoch; its batches are the number for the next if that is unknown."""
        self._batches_per_epoch = self._batches_per_epoch or self._batch_in_epoch or None
        self.epochs = epoch + 1 + self._offset
        self._batch_in_epoch = 0
        self._steps_by_epoch[self.epochs] = self.step
