"""One method over a training run: its maps, their scale, and their statistics since the last time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.compiled_method import Executable
from ..engine.results import make_attributions, non_finite_reason
from ..engine.variable_method import load_variable_method
from ..frames import MapKind
from ..map_statistics import area, centroid, drift, entropy, evidence, region_share
from ..methods import load_method, method_map_kind, method_name
from ..models.load import LoadedModel
from ..models.targets import Target
from ..temporal import peak
from .loggers import MapRecord
from .regions import Regions
from .validation_data import ValidationBatch

PASSES_PER_RUN = 32
"""Passes of a run, for methods of many."""


@dataclass(eq=False)
class MethodRun:
    """A method of a run, traced on the model in training.

    Attributes:
        method: name, ``package.module:function``, or function.
        params: its parameters.
        layer: path of the target layer, or ``auto``.
        scale: attribution drawn at full strength; None for the largest of the run so far, see `round_up`.
        vmax: the scale of the last images.
    """

    method: str | Callable[..., Any]
    params: Mapping[str, Any]
    layer: str
    scale: float | None = None
    vmax: float = 0.0
    _executable: Executable | None = None
    _before: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._function = load_method(self.method, self.params)
        self.name: str = method_name(self.method)
        self.map_kind: MapKind = method_map_kind(self.method)
        self.vmax = self.scale or 0.0

    def trace(self, loaded: LoadedModel, batch: ValidationBatch) -> None:
        """Trace the method on a model; once for each model.

        Raises:
            LayerError, MethodError, ModelError: it cannot be explained so.
        """
        shape: Any = batch.inputs.shape
        self._executable = load_variable_method(
            loaded, self._function, layer=self.layer, shape=shape, passes_per_run=max(len(batch.inputs), PASSES_PER_RUN)
        )

    def forget_maps(self) -> None:
        """Begin without maps that a drift could be measured from."""
        self._before.clear()

    def explain(
        self,
        batch: ValidationBatch,
        labels: Sequence[str],
        targets: Mapping[str, Sequence[Target]],
        codes: NDArray[np.int32],
        regions: Regions,
        position: tuple[int, float],
    ) -> tuple[list[MapRecord], str]:
        """Explain the images with the weights of the moment.

        Args:
            batch: the images.
            labels: names of the classes.
            targets: the target of each image, by a name that is empty if there is only one.
            codes: of the targets, ``(N, targets, 2)``.
            regions: named regions.
            position: the step and the epoch.

        Returns:
            A record for each target, and why a result cannot be used; empty if all can.

        Raises:
            ModelError: the model failed.
        """
        assert self._executable is not None
        inputs: Any = batch.inputs
        result = self._executable(inputs, codes)
        reasons = [reason for n in range(len(inputs)) if (reason := non_finite_reason(result, n))]
        by_image = [
            make_attributions(result, n, [given[n] for given in targets.values()], labels) for n in range(len(inputs))
        ]
        if self.scale is None:
            largest = max(peak(one.heatmap, self.map_kind) for image in by_image for one in image)
            self.vmax = max(self.vmax, round_up(largest))
        predicted = tuple(labels[int(row[0])] for row in result.top_classes)
        probabilities = tuple(float(row[0]) for row in result.top_probabilities)
        records = []
        for number, name in enumerate(targets):
            key = f"{self.name}/{name}" if name else self.name
            maps = np.stack([image[number].heatmap for image in by_image])
            records.append(
                MapRecord(
                    key=key,
                    method=self.name,
                    layer=self._executable.layer,
                    map_kind=self.map_kind,
                    step=position[0],
                    epoch=position[1],
                    maps=maps,
                    vmax=self.vmax,
                    targets=tuple(image[number].label for image in by_image),
                    predicted=predicted,
                    probabilities=probabilities,
                    statistics=self._statistics(key, maps, regions),
                )
            )
        return records, reasons[0] if reasons else ""

    def _statistics(self, key: str, maps: NDArray[np.float32], regions: Regions) -> dict[str, tuple[float, ...]]:
        weights = evidence(maps, signed=self.map_kind != "heat")
        x, y = centroid(weights)
        before = self._before.get(key)
        is_comparable = before is not None and before.shape == weights.shape
        values = {
            "area": area(weights),
            "centroid_x": x,
            "centroid_y": y,
            "entropy": entropy(weights),
            "drift": drift(before, weights) if before is not None and is_comparable else np.full(len(maps), np.nan),
        }
        shape = (maps.shape[1], maps.shape[2])
        for name, coverage in regions.coverages(shape).items():
            values[f"share/{name}"] = region_share(weights, coverage)
        self._before[key] = weights
        return {name: tuple(map(float, one)) for name, one in values.items()}


def round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten; 0 for 0.

    A scale that grows in such steps stays the same for many explanations, and its value is short to read.
    """
    if not (value > 0 and math.isfinite(value)):
        return 0.0
    unit = 10.0 ** math.floor(math.log10(value))
    return float(next(f"{step * unit:.3g}" for step in (1, 2, 5, 10) if step * unit >= value * (1 - 1e-9)))


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of the finite values; NaN if there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
