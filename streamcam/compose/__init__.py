"""Drawing: heatmaps over the image, beside it or alone, and captions.

`FrameRenderer` draws the frames of a stream, `render_ahead` in several threads, and `overlay_image` a still image;
`write_contact_sheet` and `write_titled_sheet` show several in one image. OpenCV and PyAV are loaded when one of them is
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contact_sheet import write_contact_sheet, write_titled_sheet
    from .image_overlay import overlay_image
    from .native import report_environment
    from .panels import drawn_info
    from .render_threads import render_ahead, renderer_count
    from .renderer import FrameRenderer

__all__ = [
    "FrameRenderer",
    "drawn_info",
    "overlay_image",
    "render_ahead",
    "renderer_count",
    "report_environment",
    "write_contact_sheet",
    "write_titled_sheet",
]

_LAZY_IMPORTS = {
    "FrameRenderer": ".renderer",
    "drawn_info": ".panels",
    "overlay_image": ".image_overlay",
    "render_ahead": ".render_threads",
    "renderer_count": ".render_threads",
    "report_environment": ".native",
    "write_contact_sheet": ".contact_sheet",
    "write_titled_sheet": ".contact_sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY_IMPORTS[name], __name__), name)
