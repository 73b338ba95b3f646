"""Beside a training run: a callback that explains, and a visual log of inputs.

    from streamcam.training import ExplainCallback, VisualLog
    dataset = dataset.apply(VisualLog().tap("loaded"))
    model.fit(dataset, callbacks=[ExplainCallback((x_val, y_val), loggers=["folder:log"])])

Importing this package loads nothing heavy. A model that contains taps can be loaded by `keras.models.load_model` after
``from streamcam.training import VisualLog``.
"""

from __future__ import annotations

import sys
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


_TAP = ".visual_log.tap"  # its import registers the class with Keras

if "keras" in sys.modules:
    import_module(_TAP, __name__)


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "VisualLog":
        import_module(_TAP, __name__)
    return getattr(import_module(_LAZY_IMPORTS[name], __name__), name)
