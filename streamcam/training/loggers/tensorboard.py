"""TensorBoard: event files with images and numbers. An extra: ``pip install 'streamcam[tensorboard]'``."""

from __future__ import annotations

from typing import Any

from ...errors import SinkError, error_summary
from ...frames import RgbImage
from ...imports import expand_path
from .base import RunInfo, RunLogger, require_folder, require_package


class TensorBoardLogger(RunLogger):
    """Writes event files with `tf.summary`.

    Args:
        folder: of the event files.

    Raises:
        StreamcamError: the package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: str) -> None:
        self._folder = expand_path(require_folder(folder, "tensorboard"))
        require_package("tensorboard", "tensorboard")
        self._writer: Any = None

    def begin(self, run: RunInfo) -> None:
        """Create an event file.

        Raises:
            SinkError: it cannot be created.
        """
        from ...tf import tf

        try:
            self._writer = tf.summary.create_file_writer(str(self._folder))
            self._writer.init()
        except (tf.errors.OpError, OSError) as error:
            raise SinkError(f"{self._folder} cannot be written to: {error_summary(error)}") from error

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Log an image; see `RunLogger`."""
        from ...tf import tf

        with self._writer.as_default():
            tf.summary.image(key, image[None], step=step)

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Log a number; see `RunLogger`."""
        from ...tf import tf

        with self._writer.as_default():
            tf.summary.scalar(key, value, step=step)

    def flush(self) -> None:
        """Write the events so far."""
        self._writer.flush()

    def end(self) -> None:
        """Close the event file."""
        self._writer.close()
