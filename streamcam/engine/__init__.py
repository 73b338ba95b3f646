"""Model and method made into one compiled function, and the frames that go through it.

Importing this package loads no TensorFlow; `load_explainer` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import ExplainOptions, ModelOptions

if TYPE_CHECKING:
    from ..geometry import Size
    from .explainer import StreamExplainer
    from .layers import LayerInfo

__all__ = ["describe", "examine", "list_layers", "load_explainer"]


def load_explainer(model: ModelOptions, explain: ExplainOptions, *, shared: bool = False) -> StreamExplainer:
    """Loads a model and everything that is needed to explain it; takes seconds.

    Args:
        model: which model.
        explain: what is explained, and how.
        shared: leave half of the cores to decoder and encoder. That holds for all of TensorFlow in this process, unless
            it runs already.

    Raises:
        ModelError, MethodError, TargetError, DeviceError, OptionError: what was asked for cannot be had.
    """
    from .devices import share_the_processor
    from .explainer import StreamExplainer

    if shared:
        share_the_processor()
    return StreamExplainer(model, explain)


def list_layers(model: ModelOptions) -> tuple[Size, tuple[LayerInfo, ...]]:
    """The size ``(width, height)`` a model was made for, and a row for each of its layers.

    Raises:
        ModelError: the model cannot be loaded or run.
    """
    from ..models import load_model
    from .kernel import trace_layers

    loaded = load_model(model)
    return loaded.input_size, trace_layers(loaded, loaded.input_size)


def examine() -> dict[str, str | list[str]]:
    """Versions, devices and precisions, for ``streamcam doctor``."""
    import os
    import platform

    from ..models.backend import keras, tf
    from .bare import bare_precisions
    from .devices import devices
    from .store import Store

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "cores": str(os.cpu_count()),
        "devices": devices(),
        "precisions": list(bare_precisions("auto")),
        "kept in": str(Store().folder or "nowhere (STREAMCAM_CACHE=off)"),
    }


def describe() -> dict[str, dict[str, Any]]:
    """Devices by name: what each is (``devices``) and the precisions that are fast on it; and versions."""
    from ..models.backend import keras, tf
    from .bare import bare_precisions
    from .devices import described_devices

    devices = described_devices()
    return {
        "devices": devices,
        "precisions": {name: bare_precisions(name) for name in devices},
        "software": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
