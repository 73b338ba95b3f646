"""Weights & Biases: images and numbers of the active run. An extra: ``pip install 'streamcam[wandb]'``."""

from __future__ import annotations

from typing import Any

from ...errors import StreamcamError, describe_error
from ...frames import RgbImage
from .base import RunInfo, RunLogger, refuse_argument, require_package

STEP = "streamcam/step"
"""The key that the charts are drawn over: the run's own step never goes back, and other callbacks advance it."""


class WandbLogger(RunLogger):
    """Logs to the active run; starts one for the training if there is none.

    Raises:
        StreamcamError: the package ``wandb`` is not installed.
    """

    def __init__(self, argument: str = "") -> None:
        refuse_argument(argument, "wandb")
        require_package("wandb", "wandb")
        self._run: Any = None
        self._is_own = False
        self._values: dict[str, Any] = {}

    def begin(self, run: RunInfo) -> None:
        """Find or start a run.

        Raises:
            StreamcamError: W&B cannot start one.
        """
        import wandb

        try:
            self._is_own = wandb.run is None
            self._run = wandb.init() if self._is_own else wandb.run
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
        if self._is_own:
            self._run.finish()
        self._run = None
