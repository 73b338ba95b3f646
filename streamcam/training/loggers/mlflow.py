"""MLflow: images and metrics of the active run. An extra: ``pip install 'streamcam[mlflow]'``."""

from __future__ import annotations

import re
from typing import Any

from ...errors import StreamcamError, describe_error
from ...frames import RgbImage
from .base import RunInfo, RunLogger, refuse_argument, require_package


class MlflowLogger(RunLogger):
    """Logs to the active MLflow run; starts one for the training if there is none.

    Raises:
        StreamcamError: the package ``mlflow`` is not installed.
    """

    def __init__(self, argument: str = "") -> None:
        refuse_argument(argument, "mlflow")
        require_package("mlflow", "mlflow")
        self._own_run: Any = None

    def begin(self, run: RunInfo) -> None:
        """Find or start a run.

        Raises:
            StreamcamError: MLflow cannot start one.
        """
        import mlflow

        try:
            self._own_run = None if mlflow.active_run() else mlflow.start_run()
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
        if self._own_run is not None:
            mlflow.end_run()
            self._own_run = None


def _valid_key(key: str) -> str:
    """Replace characters that MLflow refuses, such as the ``+`` of ``gradcam++``."""
    return re.sub(r"[^\w\-. /]", "_", key)
