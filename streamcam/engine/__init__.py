"""Compile a model and a method into one function, and run it.

Importing this package loads no TensorFlow; `load_explainer` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import PreprocessWarning, warn_user
from ..options import ExplainOptions, ModelOptions

if TYPE_CHECKING:
    from ..geometry import Size
    from .explainer import FrameExplainer
    from .graph.layer_info import LayerInfo

__all__ = ["describe_devices", "list_layers", "load_explainer"]


def load_explainer(
    model: ModelOptions, explain: ExplainOptions, *, limit_threads: bool = False, threads_yield: bool = True
) -> FrameExplainer:
    """Load a model with a method; takes seconds.

    Args:
        model: the model.
        explain: what to explain, and how.
        limit_threads: leave half of the cores to decoder and encoder; for all of TensorFlow in this process, unless
            TensorFlow runs already.
        threads_yield: run the model's CPU threads at a lower priority than decoder and encoder.

    Raises:
        ModelError, MethodError, TargetError, DeviceError, OptionError: an option cannot be used.

    Warns:
        PreprocessWarning: the model's preprocessing is a guess.
    """
    from .explainer import FrameExplainer
    from .runtime.devices import limit_intra_op_threads

    if limit_threads:
        limit_intra_op_threads()
    explainer = FrameExplainer(model, explain, threads_yield=threads_yield)
    if explainer.info.preprocess_guess:
        warn_user(explainer.info.preprocess_guess, PreprocessWarning)
    return explainer


def list_layers(model: ModelOptions) -> tuple[Size, tuple[LayerInfo, ...]]:
    """Return the model's input size ``(width, height)`` and its layers.

    Raises:
        ModelError: the model cannot be loaded or run.
    """
    from ..models import load_model
    from .compile import survey_model

    loaded = load_model(model)
    return loaded.input_size, survey_model(loaded, loaded.input_size)


def report_environment() -> dict[str, str | list[str]]:
    """Return versions, devices and precisions, for ``streamcam doctor``."""
    import os
    import platform

    from ..tf import keras, tf
    from .runtime.compile_cache import CompileCache
    from .runtime.devices import list_devices
    from .runtime.forward import fast_precisions

    cache = CompileCache()
    refusal = f" (not used: {cache.refusal})" if cache.refusal else ""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "cores": str(os.cpu_count()),
        "devices": list_devices(),
        "precisions": list(fast_precisions("auto")),
        "cache_dir": f"{cache.folder or 'nowhere (STREAMCAM_CACHE=off)'}{refusal}",
    }


def describe_devices() -> dict[str, dict[str, Any]]:
    """Return product and fast precisions of each device, and versions."""
    from ..tf import keras, tf
    from .runtime.devices import device_names
    from .runtime.forward import fast_precisions

    devices = device_names()
    return {
        "devices": devices,
        "precisions": {name: fast_precisions(name) for name in devices},
        "software": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
