"""MLflow: images and metrics of the active run. An extra: ``pip install 'streamcam[mlflow]'``."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from ...errors import StreamcamError, describe_error
from ...frames import RgbImage
from .base import RunInfo, RunLogger, refuse_argument, require_package


class MlflowLogger(RunLogger):
    """Logs to the active MLflow run; starts one for the training if there is none.

    Keras calls no ``on_train_end`` if an exception ends ``fit``. The run that was started for it ends as failed with
    the next ``fit`` of the callback, or with the next logger.

    Raises:
        StreamcamError: the package ``mlflow`` is not installed.
    """

    _started: ClassVar[Any] = None
    """The run that was started here and has not ended."""

    def __init__(self, argument: str = "") -> None:
        refuse_argument(argument, "mlflow")
        require_package("mlflow", "mlflow")
        self._is_owner = False
        self._end_unfinished()

    def begin(self, run: RunInfo) -> None:
        """Find or start a run.

        Raises:
            StreamcamError: MLflow cannot start one.
        """
        import mlflow

        try:
            if self._is_owner:
                self._end_unfinished()
            self._is_owner = mlflow.active_run() is None
            if self._is_owner:
                MlflowLogger._started = mlflow.start_run()
        except Exception as error:
            raise StreamcamError(f"mlflow cannot start a run: {describe_error(error)}") from error

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Log an image; see `RunLogger`."""
        import mlflow

        mlflow.log_image(image, key=_valid_key(key), step=step)

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Log a number; see `RunLogger`."""
        import mlflow

        mlflow.log_metric(_valid_key(key), value, step=step)

    def end(self) -> None:
        """Wait for the images, and end a run that was started here."""
        import mlflow

        mlflow.flush_artifact_async_logging()
        if self._is_owner:
            self._is_owner, MlflowLogger._started = False, None
            mlflow.end_run()

    @classmethod
    def _end_unfinished(cls) -> None:
        """End the run of a ``fit`` that an exception ended."""
        started, MlflowLogger._started = cls._started, None
        if started is None:
            return
        import mlflow

        active = mlflow.active_run()
        if active is not None and active.info.run_id == started.info.run_id:
            mlflow.end_run("FAILED")


def _valid_key(key: str) -> str:
    """Replace characters that MLflow refuses, such as the ``+`` of ``gradcam++``."""
    return re.sub(r"[^\w\-. /]", "_", key)
