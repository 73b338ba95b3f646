"""Compile methods for small models, and read what they return."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from streamcam.engine.compile import compile_method
from streamcam.engine.compiled_method import BatchResult, Executable
from streamcam.methods import load_method
from streamcam.models import LoadedModel, load_model
from streamcam.models.targets import TargetSet
from streamcam.options import ModelOptions, normalize_targets
from streamcam.tf import keras

from .models import HEIGHT, WIDTH


def scale(images: Any) -> Any:
    return images / 127.5 - 1.0


def random_images(count: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def load(model: Any) -> LoadedModel:
    """Load a model with the preprocessing `scale`."""
    feed = {"numbers": [1.0, -1.0, 0.5, 2.0]} if len(getattr(model, "inputs", None) or ()) == 2 else {}
    return replace(load_model(ModelOptions(model=model, extra_input=feed)), preprocess=scale)


@dataclass(frozen=True, eq=False, kw_only=True)
class BoundExecutable(Executable):
    """An executable that explains its own targets if a call names none."""

    targets: TargetSet

    def __call__(self, images: Any, codes: Any = None, progress: Any = None) -> BatchResult:
        return super().__call__(images, self.targets.codes if codes is None else codes, progress)


def build_executable(model: Any, method: str = "gradcam", target: Any = "top", **options: Any) -> Executable:
    known = load(model)
    targets = TargetSet(known.labels, normalize_targets(target))
    settings: dict[str, Any] = {
        "layer": "auto",
        "functions": targets.functions,
        "by_code": targets.by_code,
        "size": (WIDTH, HEIGHT),
        "batch": 4,
    }
    params = options.pop("params", {})
    precision = options.pop("precision", "float32")
    executable = compile_method(known, load_method(method, params), **(settings | options)).load("cpu", precision)
    return BoundExecutable(
        **{field.name: getattr(executable, field.name) for field in fields(Executable)}, targets=targets
    )


def first_target(result: BatchResult) -> Any:
    """Return the results for the first target."""
    return SimpleNamespace(
        maps=result.maps[:, 0],
        targets=result.classes[:, 0],
        logits=result.scores[:, 0],
        probabilities=result.probabilities[:, 0],
        top_classes=result.top_classes,
        top_probabilities=result.top_probabilities,
    )


def outputs_of(model: Any, layer: Any, images: Any) -> Any:
    return keras.Model(model.inputs, layer.output).predict(scale(images.astype(np.float32)), verbose=0)
