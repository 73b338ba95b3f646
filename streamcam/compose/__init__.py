"""Drawing: where the model looked, over the picture, beside it, or alone; and what it saw, in words.

`Painter` draws the frames of a stream and `overlay` a still picture; `contact_sheet` and `titled_sheet` show several in
one image. OpenCV and PyAV are loaded when one of them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiled import examine
    from .painter import Painter
    from .sheet import contact_sheet, titled_sheet
    from .still import overlay

__all__ = ["Painter", "contact_sheet", "examine", "overlay", "titled_sheet"]

_HOMES = {
    "Painter": ".painter",
    "contact_sheet": ".sheet",
    "examine": ".compiled",
    "overlay": ".still",
    "titled_sheet": ".sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
