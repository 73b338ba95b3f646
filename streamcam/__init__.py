"""streamcam: explain a vision model on every frame of a video.

    import streamcam
    summary = streamcam.process("input.mp4", "output.mp4", method="gradcam")

Importing this package loads nothing heavy; the first call does.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import process as process
    from .errors import DeviceError as DeviceError
    from .errors import LayerError as LayerError
    from .errors import MethodError as MethodError
    from .errors import ModelError as ModelError
    from .errors import OptionError as OptionError
    from .errors import PreprocessWarning as PreprocessWarning
    from .errors import SinkError as SinkError
    from .errors import SourceError as SourceError
    from .errors import StreamcamError as StreamcamError
    from .errors import TargetError as TargetError
    from .explainer import Explainer as Explainer
    from .explanation import Explanation as Explanation
    from .pipeline import Summary as Summary

__version__ = "0.1.0"

_logger = logging.getLogger(__name__)
_logger.addHandler(logging.NullHandler())
if _logger.level == logging.NOTSET:
    # Notes are records of level INFO; a higher level keeps them out of summaries, too.
    _logger.setLevel(logging.INFO)

_LAZY_IMPORTS = {
    "DeviceError": "errors",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "LayerError": "errors",
    "MethodError": "errors",
    "ModelError": "errors",
    "OptionError": "errors",
    "PreprocessWarning": "errors",
    "SinkError": "errors",
    "SourceError": "errors",
    "StreamcamError": "errors",
    "Summary": "pipeline",
    "TargetError": "errors",
    "process": "api",
}

__all__ = sorted(_LAZY_IMPORTS)


def __getattr__(name: str) -> object:
    if name in _LAZY_IMPORTS:
        return getattr(import_module(f".{_LAZY_IMPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
