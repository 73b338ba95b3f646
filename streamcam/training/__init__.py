"""Beside a training run: see what enters the network.

Importing this package loads nothing heavy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .visual_log.log import VisualLog as VisualLog

_LAZY_IMPORTS = {
    "VisualLog": "visual_log.log",
}

__all__ = sorted(_LAZY_IMPORTS)


def __getattr__(name: str) -> object:
    if name in _LAZY_IMPORTS:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY_IMPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
