"""Weights & Biases: images and numbers of the active run. An extra: ``pip install 'streamcam[wandb]'``."""

from __future__ import annotations

from typing import Any, ClassVar

from ...errors import StreamcamError, describe_error
from ...frames import RgbImage
from .base import RunInfo, RunLogger, refuse_argument, require_package

STEP = "streamcam/step"
"""The key that the charts are drawn over: the run's own step never goes back, and other callbacks advance it."""


class WandbLogger(RunLogger):
    """Logs to the active run; starts one for the training if there is none.

    Keras calls no ``on_train_end`` if an exception ends ``fit``. The run that was started for it ends as failed with
    the next ``fit`` of the callback, or with the next logger.

    Raises:
        StreamcamError: the package ``wandb`` is not installed.
    """

    _started: ClassVar[Any] = None
    """The run that was started here and has not ended."""

    def __init__(self, argument: str = "") -> None:
        refuse_argument(argument, "wandb")
        require_package("wandb", "wandb")
        self._run: Any = None
        self._is_owner = False
        self._end_unfinished()
        self._values: dict[str, Any] = {}

    def begin(self, run: RunInfo) -> None:
        """Find or start a run.

        Raises:
            StreamcamError: W&B cannot start one.
        """
        import wandb

        try:
            if self._is_owner:
                self._end_unfinished()
            self._values = {}
            self._is_owner = wandb.run is None
            self._run = wandb.init() if self._is_owner else wandb.run
            if self._is_owner:
                WandbLogger._started = self._run
            self._run.define_metric(STEP)
            for method in run.methods:
                self._run.define_metric(f"{method}/*", step_metric=STEP)
        except Exception as error:
            raise StreamcamError(
                f"wandb cannot start a run: {describe_error(error)}", hint="log in, or set WANDB_MODE=offline"
            ) from error

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Log an image; see `RunLogger`."""
        import wandb

        self._add(key, wandb.Image(image), step)

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Log a number; see `RunLogger`."""
        self._add(key, value, step)

    def _add(self, key: str, value: Any, step: int) -> None:
        if self._values.get(STEP, step) != step:
            self.flush()
        self._values |= {key: value, STEP: step}

    def flush(self) -> None:
        """Log all of one step as one row."""
        if self._values:
            values, self._values = self._values, {}
            self._run.log(values)

    def end(self) -> None:
        """End a run that was started here."""
        self.flush()
        if self._is_owner:
            self._is_owner, WandbLogger._started = False, None
            self._run.finish()
        self._run = None

    @classmethod
    def _end_unfinished(cls) -> None:
        """End the run of a ``fit`` that an exception ended."""
        started, WandbLogger._started = cls._started, None
        if started is None:
            return
        import wandb

        if wandb.run is not None and wandb.run.id == started.id:
            started.finish(exit_code=1)
