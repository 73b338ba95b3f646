"""Beside a training run: a callback that explains, and a visual log of inputs.

    from streamcam.training import ExplainCallback, VisualLog
    dataset = dataset.apply(VisualLog().tap("loaded"))
    model.fit(dataset, callbacks=[ExplainCallback((x_val, y_val), loggers=["folder:log"])])

Importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callback import ExplainCallback
    from .evolution import Evolution, write_evolution
    from .loggers import ImageLogger
    from .visual_log.evidence import Fault
    from .visual_log.log import VisualLog

__all__ = ["Evolution", "ExplainCallback", "Fault", "ImageLogger", "VisualLog", "write_evolution"]

_LAZY_IMPORTS = {
    "Evolution": ".evolution",
    "ExplainCallback": ".callback",
    "Fault": ".visual_log.evidence",
    "ImageLogger": ".loggers",
    "VisualLog": ".visual_log.log",
    "write_evolution": ".evolution",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY_IMPORTS[name], __name__), name)
