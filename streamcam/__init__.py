"""streamcam: explain a vision model on every frame of a video.

    import streamcam
    summary = streamcam.process("input.mp4", "output.mp4", method="gradcam")
    for frame in streamcam.frames("input.mp4"):
        print(frame.classes[0], frame.attributions[0].heatmap.shape)

Importing this package loads nothing heavy; the first call does.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # the import of `typing` takes 7 ms
if TYPE_CHECKING:
    from .api import ProcessResult as ProcessResult
    from .api import frames as frames
    from .api import process as process
    from .api import process_all as process_all
    from .api import render as render
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
    from .frame_iterator import FrameExplanation as FrameExplanation
    from .record.reader import Record as Record
    from .record.reader import open_record as open_record
    from .studies.activations import Activations as Activations
    from .studies.activations import show_activations as show_activations
    from .studies.filters import FilterImage as FilterImage
    from .studies.filters import FilterStudy as FilterStudy
    from .studies.filters import visualize_filters as visualize_filters
    from .summary import Summary as Summary

__version__ = "0.1.0"

_LAZY_IMPORTS = {
    "Activations": "studies.activations",
    "DeviceError": "errors",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "FilterImage": "studies.filters",
    "FilterStudy": "studies.filters",
    "FrameExplanation": "frame_iterator",
    "LayerError": "errors",
    "MethodError": "errors",
    "ModelError": "errors",
    "OptionError": "errors",
    "PreprocessWarning": "errors",
    "ProcessResult": "api",
    "Record": "record.reader",
    "SinkError": "errors",
    "SourceError": "errors",
    "StreamcamError": "errors",
    "Summary": "summary",
    "TargetError": "errors",
    "frames": "api",
    "open_record": "record.reader",
    "process": "api",
    "process_all": "api",
    "render": "api",
    "show_activations": "studies.activations",
    "visualize_filters": "studies.filters",
}

__all__ = sorted(_LAZY_IMPORTS)


def __getattr__(name: str) -> object:
    if name in _LAZY_IMPORTS:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY_IMPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Keep `streamcam.frames` the function: the import of the module of that name would replace it."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _LAZY_IMPORTS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
