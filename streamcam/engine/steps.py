"""The many passes of perturbation and path methods, in batches of one size within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..methods import Steps
from ..models.backend import tf
from .freeze import freeze
from .passes import Pass, Wanted
from .program import Program
from .tracing import figure_names, joined, trace

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many passes are done, and how many there are."""

BUDGET = 4 * 2**30
"""Bytes that the tensors of one batch of passes may take together, were none of them let go of before the end."""

_SAMPLED = 8
"""Passes of each picture that tell precisions apart, at least."""

_TOLD = 5
"""Outputs of the first pass that say what the model saw; what the passes begin with comes after them."""


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Compiled passes of a method.

    Attributes:
        step: ``(frame, step, segment, classes, *state)`` → values of ``rows`` passes, or their sum for each frame.
        last: ``(values, *state, *own)`` → maps and figures.
        rows: passes a run.
        count: passes a frame.
        states: how many tensors the passes begin with.
        mean: True where only the mean of the passes is kept.
    """

    step: Callable[..., list[Any]]
    last: Callable[..., list[Any]]
    rows: int
    count: int
    states: int
    mean: bool

    def __call__(self, first: list[Any], frames: int, progress: Progress | None = None) -> list[Any]:
        """Maps and figures, from what the first pass gave.

        Args:
            first: its outputs.
            frames: how many of the batch's frames are wanted.
            progress: told after each run.
        """
        batch = int(first[0].shape[0])
        state = first[_TOLD : _TOLD + self.states]
        places = np.arange(frames * self.count)
        kept: list[NDArray[np.float32]] = []
        total = None
        for values, done in self._runs(places, first[0], state):
            if self.mean:
                total = values if total is None else total + values
            else:
                kept.append(values[: done - (len(kept) * self.rows)])
            if progress is not None:
                progress(done, len(places))
        if self.mean:
            assert total is not None
            values = total / self.count
        else:
            stacked = np.concatenate(kept)
            stacked = stacked.reshape(frames, self.count, *stacked.shape[1:])
            missing = np.broadcast_to(stacked[-1:], (batch - frames, *stacked.shape[1:]))
            values = np.moveaxis(np.concatenate([stacked, missing]), 1, 2)
        return self.last(values, *first[_TOLD:])

    def sample(self, first: list[Any], frames: int) -> NDArray[np.float32]:
        """Values of one run of passes, spread evenly over all, around their mean where each is one number."""
        state = first[_TOLD : _TOLD + self.states]
        each = max(_SAMPLED, self.rows // frames)
        steps = np.linspace(0, self.count - 1, each).astype(np.int64)
        places = np.concatenate([frame * self.count + steps for frame in range(frames)])
        runs = list(self._runs(places, first[0], state))
        if self.mean:
            whole = sum(values for values, _ in runs)
            return np.asarray(whole[:frames], np.float32)
        whole = np.concatenate([values for values, _ in runs])[: len(places)]
        whole = whole.reshape(frames, each, *whole.shape[1:])
        return np.asarray(whole - whole.mean(axis=1, keepdims=True), np.float32)

    def warm_up(self, first: list[Any]) -> None:
        """One run of passes, from what the first pass gave."""
        next(self._runs(np.arange(1), first[0], first[_TOLD : _TOLD + self.states]))

    def _runs(self, places: NDArray[np.int64], classes: Any, state: list[Any]) -> Iterator[tuple[Any, int]]:
        for start in range(0, len(places), self.rows):
            here = places[start : start + self.rows]
            frame, step = np.divmod(np.pad(here, (0, self.rows - len(here)), mode="edge"), self.count)
            segment = np.where(np.arange(self.rows) < len(here), frame, -1)
            numbers = (values.astype(np.int32) for values in (frame, step, segment))
            (values,) = self.step(*numbers, classes, *state)
            yield values, start + len(here)


@dataclass(frozen=True, slots=True, eq=False)
class PassesPlan:
    """`Passes` that run nowhere yet; the same attributes."""

    step: Program
    last: Program
    rows: int
    count: int
    states: int
    mean: bool

    def start(self, device: str, precision: str) -> Passes:
        """Makes them ready to run; the model's arithmetic ends with its passes, what becomes of them is float32."""
        step, last = self.step.start(device, precision), self.last.start(device)
        return Passes(step, last, self.rows, self.count, self.states, self.mean)


def plan_passes(
    wanted: Wanted, results: list[Steps], first: Any, batch: int, rows: int
) -> tuple[PassesPlan, tuple[str, ...]]:
    """Traces and freezes the passes of a method.

    Args:
        wanted: what is to be explained.
        results: what the method returned, for each target.
        first: the traced first pass.
        batch: frames that go together.
        rows: passes in a run, fewer where these would take more than `BUDGET`.

    Returns:
        The passes, and the names of the figures.

    Raises:
        MethodError, ModelError: as `trace`.
    """
    steps = results[0]
    begin = first.outputs[_TOLD:]
    states = len(steps.state)
    mean = steps.reduce == "mean"

    def one(frame: Any, step: Any, segment: Any, classes: Any, *state: Any) -> list[Any]:
        rows = tuple(tf.gather(tensor, frame) for tensor in state)
        pictures = tf.cast(steps.perturb(rows, step), tf.float32)
        seen = Pass(wanted, pictures, tf.gather(classes, frame))
        values = tf.stack([own.read(traced) for own, traced in zip(results, seen.traced(), strict=True)], axis=1)
        return [tf.math.unsorted_segment_sum(values, segment, batch) if mean else values]

    def traced(rows: int) -> Any:
        numbers = [tf.TensorSpec((rows,), tf.int32)] * 3
        state = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (first.outputs[0], *begin[:states])]
        return trace(one, wanted.size, *numbers, *state)

    step = traced(rows)
    taken = _bytes(step.graph) / rows
    if taken * rows > BUDGET and rows > 1:
        rows = max(1, int(BUDGET // taken))
        step = traced(rows)
    names: list[tuple[str, ...]] = []

    def last(values: Any, *begun: Any) -> list[Any]:
        state, own = begun[:states], begun[states:]
        each = len(own) // len(results)
        made = [target.maps(state, own[n * each : (n + 1) * each], values[:, n]) for n, target in enumerate(results)]
        names.append(figure_names(made))
        return joined(made)

    kept = step.outputs[0].shape
    shape = kept if mean else (batch, kept[1], steps.count, *kept[2:])
    specifications = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in begin]
    finished = trace(last, wanted.size, tf.TensorSpec(shape, tf.float32), *specifications)
    return PassesPlan(freeze(step), freeze(finished), rows, steps.count, states, mean), names[-1]


def _bytes(graph: Any) -> int:
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size
        for operation in graph.get_operations()
        for tensor in operation.outputs
        if tensor.shape.num_elements() and tensor.dtype.size
    )
