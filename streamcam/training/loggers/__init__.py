"""Loggers: where `ExplainCallback` writes images and numbers.

To add one, write a file with a class that inherits `RunLogger`, and enter it in `LOGGERS`. An object of a user's own
with ``log_image(key, image, step)`` works without an entry.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...errors import OptionError, did_you_mean
from .base import ImageLogger, MapRecord, ObjectLogger, RunInfo, RunLogger

__all__ = ["LOGGERS", "ImageLogger", "MapRecord", "RunInfo", "RunLogger", "open_logger"]

LOGGERS: dict[str, str] = {
    "tensorboard": "streamcam.training.loggers.tensorboard:TensorBoardLogger",
    "folder": "streamcam.training.loggers.folder:FolderLogger",
    "mlflow": "streamcam.training.loggers.mlflow:MlflowLogger",
    "wandb": "streamcam.training.loggers.wandb:WandbLogger",
}
"""Name -> ``module:class``."""


def open_logger(logger: Any) -> RunLogger:
    """Return a logger by name, or wrap an object.

    Args:
        logger: ``tensorboard:DIR``, ``folder:DIR``, ``mlflow``, ``wandb``, or an object with
            ``log_image(key, image, step)`` and, if it takes numbers too, ``log_scalar(key, value, step)``.

    Raises:
        OptionError: an unknown name, a folder that is missing, or an object without ``log_image``.
        StreamcamError: its package is not installed; the message has the command.
    """
    if isinstance(logger, RunLogger):
        return logger
    if not isinstance(logger, str):
        if isinstance(logger, type):
            raise OptionError(f"the logger {logger.__name__} is a class", expected=f"an object: {logger.__name__}(...)")
        if not callable(getattr(logger, "log_image", None)):
            raise OptionError(
                f"a logger of type {type(logger).__name__} has no log_image",
                expected=f"one of {', '.join(LOGGERS)}, or an object with log_image(key, image, step)",
            )
        return ObjectLogger(logger)
    name, _, argument = logger.partition(":")
    if name not in LOGGERS:
        raise OptionError(
            f"unknown logger {logger!r}",
            expected="tensorboard:DIR, folder:DIR, mlflow, wandb, or an object with log_image(key, image, step)",
            hint=did_you_mean(name, LOGGERS),
        )
    module, _, class_name = LOGGERS[name].partition(":")
    found: RunLogger = getattr(import_module(module), class_name)(argument)
    return found
