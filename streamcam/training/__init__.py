"""Beside a training run: a visual log of what enters the network.

    from streamcam.training import VisualLog
    dataset = dataset.apply(VisualLog().tap("loaded"))

Importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .visual_log.evidence import Fault
    from .visual_log.log import VisualLog

__all__ = ["Fault", "VisualLog"]

_LAZY_IMPORTS = {
    "Fault": ".visual_log.evidence",
    "VisualLog": ".visual_log.log",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY_IMPORTS[name], __name__), name)
