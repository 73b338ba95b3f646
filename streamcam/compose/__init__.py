"""Drawing: where the model looked, over the picture, beside it, or alone; and what it saw, in words.

`Painter` draws the frames of a stream and `overlay` a still picture; `contact_sheet` and `titled_sheet` show several in
one image. OpenCV and PyAV are loaded when one of them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contact_sheet import contact_sheet, titled_sheet
    from .image_overlay import overlay
    from .native import report_environment
    from .renderer import FrameRenderer

__all__ = ["FrameRenderer", "contact_sheet", "overlay", "report_environment", "titled_sheet"]

_LAZY_IMPORTS = {
    "FrameRenderer": ".renderer",
    "contact_sheet": ".contact_sheet",
    "report_environment": ".native",
    "overlay": ".image_overlay",
    "titled_sheet": ".contact_sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY_IMPORTS[name], __name__), name)
