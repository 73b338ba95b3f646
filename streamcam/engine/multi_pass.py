"""Run the passes of perturbation and path methods within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..methods import MultiPass
from ..models.targets import TargetCodes
from ..tf import tf
from .compiler.freeze import freeze
from .forward_pass import ExplainRequest, ForwardPass, TraceFindings
from .graph.tracing import map_outputs, quality_metric_names, trace
from .runtime.frozen_graph import FrozenGraph
from .runtime.target_graph import TargetGraph

Progress: TypeAlias = Callable[[int, int], None]
"""Called with passes done and passes in all."""

MEMORY_BUDGET_BYTES = 4 * 2**30
"""Bytes that the tensors of one batch of passes may take together, if none were freed before the end."""

_MIN_PROBE_PASSES = 8
"""Fewest passes of each image to compare precisions by."""


@dataclass(frozen=True, slots=True, eq=False)
class MultiPassExecutor:
    """Compiled passes of a method.

    Attributes:
        step: ``(codes, frame, step, segment, *state)`` → for each target the values of ``passes_per_run`` passes, or
            their sum for each frame.
        finish: ``(values, *state, *own)`` → maps and metrics of a target.
        passes_per_run: passes a run.
        num_passes: passes a frame.
        is_mean: True if only the mean of the passes is kept.
    """

    step: Callable[..., tuple[list[Any], list[list[Any]]]]
    finish: Callable[..., list[Any]]
    passes_per_run: int
    num_passes: int
    is_mean: bool

    def __call__(
        self,
        codes: TargetCodes,
        state: list[Any],
        per_target_state: list[list[Any]],
        frames: int,
        progress: Progress | None = None,
    ) -> list[list[Any]]:
        """Run all passes, and return maps and metrics of each target.

        Args:
            codes: targets of each frame of the batch, ``(batch, targets, 2)``.
            state: what the first pass put out for all targets.
            per_target_state: what it put out for each target.
            frames: number of the batch's frames to run for.
            progress: called after each run.
        """
        batch = len(codes)
        pass_indices = np.arange(frames * self.num_passes)
        collected: list[list[NDArray[np.float32]]] = [[] for _ in per_target_state]
        for values, start, done in self._runs(codes, pass_indices, state):
            for target_values, one in zip(collected, values, strict=True):
                if not self.is_mean:
                    target_values.append(one[: done - start])
                elif target_values:
                    target_values[0] = target_values[0] + one
                else:
                    target_values.append(one)
            if progress is not None:
                progress(done, len(pass_indices))
        return [
            self.finish(self._reduce(values, frames, batch), *state, *own)
            for values, own in zip(collected, per_target_state, strict=True)
        ]

    def _reduce(self, values: list[NDArray[np.float32]], frames: int, batch: int) -> NDArray[np.float32]:
        """Return a target's values by frame, padded to a batch."""
        if self.is_mean:
            return np.asarray(values[0] / self.num_passes, np.float32)
        stacked = np.concatenate(values)
        stacked = stacked.reshape(frames, self.num_passes, *stacked.shape[1:])
        return np.concatenate([stacked, np.broadcast_to(stacked[-1:], (batch - frames, *stacked.shape[1:]))])

    def sample(self, codes: TargetCodes, state: list[Any], frames: int) -> NDArray[np.float32]:
        """Return the values of evenly spread passes, to compare precisions.

        Values of one number per pass are relative to their mean.
        """
        passes_per_frame = max(_MIN_PROBE_PASSES, self.passes_per_run // frames)
        steps = np.linspace(0, self.num_passes - 1, passes_per_frame).astype(np.int64)
        pass_indices = np.concatenate([frame * self.num_passes + steps for frame in range(frames)])
        runs = [np.stack(values, axis=1) for values, _, _ in self._runs(codes, pass_indices, state)]
        if self.is_mean:
            return np.asarray(sum(runs[1:], runs[0])[:frames], np.float32)
        stacked = np.concatenate(runs)[: len(pass_indices)]
        stacked = stacked.reshape(frames, passes_per_frame, *stacked.shape[1:])
        return np.asarray(stacked - stacked.mean(axis=1, keepdims=True), np.float32)

    def warm_up(self, codes: TargetCodes, state: list[Any]) -> None:
        """Run one batch of passes from the outputs of the first pass."""
        next(self._runs(codes, np.arange(1), state))

    def _runs(
        self, codes: TargetCodes, pass_indices: NDArray[np.int64], state: list[Any]
    ) -> Iterator[tuple[list[Any], int, int]]:
        """Yield the values of each target, with first and end pass."""
        for start in range(0, len(pass_indices), self.passes_per_run):
            run_indices = pass_indices[start : start + self.passes_per_run]
            frame, step = np.divmod(
                np.pad(run_indices, (0, self.passes_per_run - len(run_indices)), mode="edge"), self.num_passes
            )
            segment = np.where(np.arange(self.passes_per_run) < len(run_indices), frame, -1)
            numbers = (values.astype(np.int32) for values in (frame, step, segment))
            _, per_target = self.step(codes, *numbers, *state)
            yield [values for (values,) in per_target], start, start + len(run_indices)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenMultiPass:
    """A `MultiPassExecutor` without a device; the same attributes.

    ``num_state_tensors`` is the number of tensors that the passes of all targets start from.
    """

    step: FrozenGraph
    finish: FrozenGraph
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def load(self, device: str, precision: str, *, threads_yield: bool = True, **targets: Any) -> MultiPassExecutor:
        """Load the passes on a device; they run in ``precision``, the reduction to maps in float32.

        Args:
            device: as from `resolve_devices`.
            precision: of the passes.
            threads_yield: as for `LoadedGraph`.
            **targets: the targets, as for `TargetGraph`.
        """
        step = TargetGraph(self.step, device, precision, num_shared=0, threads_yield=threads_yield, **targets)
        finish = self.finish.load(device, threads_yield=threads_yield)
        return MultiPassExecutor(step, finish, self.passes_per_run, self.num_passes, self.is_mean)


@dataclass(frozen=True, slots=True, eq=False)
class TracedMultiPass:
    """The traced passes of a method.

    Their weights are still the model's variables.

    Attributes:
        step, finish: concrete functions, as in `MultiPassExecutor`; the codes are the last argument of ``step``.
        passes_per_run, num_passes, num_state_tensors, is_mean: as in `FrozenMultiPass`.
    """

    step: Any
    finish: Any
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def freeze(self) -> FrozenMultiPass:
        """Return the passes with the present weights as constants."""
        numbers = self.passes_per_run, self.num_passes, self.num_state_tensors, self.is_mean
        return FrozenMultiPass(freeze(self.step), freeze(self.finish), *numbers)


def trace_multi_pass(
    request: ExplainRequest,
    results: list[MultiPass],
    first: Any,
    *,
    num_top_outputs: int,
    batch: int,
    passes_per_run: int,
) -> tuple[TracedMultiPass, tuple[str, ...], TraceFindings]:
    """Trace the passes of a method.

    Args:
        request: the model, method and targets.
        results: results of the method, for each target.
        first: the traced first pass.
        num_top_outputs: number of its outputs before the state.
        batch: frames in a batch.
        passes_per_run: passes in a run, fewer if these would take more than `MEMORY_BUDGET_BYTES`.

    Returns:
        The passes, the names of the quality metrics, and the findings of their trace.

    Raises:
        MethodError, ModelError: as `trace`.
    """
    steps = results[0]
    state = first.outputs[num_top_outputs : num_top_outputs + len(steps.shared_state)]
    is_mean = steps.reduce == "mean"
    forward_passes: list[ForwardPass] = []

    def run_passes(frame: Any, step: Any, segment: Any, *state: Any) -> list[Any]:
        codes = None
        if request.by_code:
            *state, codes = state  # type: ignore[assignment]
            codes = tf.gather(codes, frame)
        rows = tuple(tf.gather(tensor, frame) for tensor in state)
        images = tf.cast(steps.perturb(rows, step), tf.float32)
        forward_pass = ForwardPass(request, images, codes)
        forward_passes.append(forward_pass)
        values = [
            multi_pass.measure(context) for multi_pass, context in zip(results, forward_pass.contexts(), strict=True)
        ]
        return [tf.math.unsorted_segment_sum(one, segment, batch) if is_mean else one for one in values]

    def trace_passes(passes_per_run: int) -> Any:
        numbers = [tf.TensorSpec((passes_per_run,), tf.int32)] * 3
        codes = [tf.TensorSpec((batch, 2), tf.int32)] if request.by_code else []
        return trace(run_passes, request.size, *numbers, *map(_specification, state), *codes)

    step = trace_passes(passes_per_run)
    bytes_per_pass = _tensor_bytes(step.graph) / passes_per_run
    if bytes_per_pass * passes_per_run > MEMORY_BUDGET_BYTES and passes_per_run > 1:
        passes_per_run = max(1, int(MEMORY_BUDGET_BYTES // bytes_per_pass))
        step = trace_passes(passes_per_run)
    names: list[tuple[str, ...]] = []

    def finish(values: Any, *both_states: Any) -> list[Any]:
        result = steps.maps(both_states[: len(state)], both_states[len(state) :], values)
        names.append(quality_metric_names(result))
        return map_outputs(result)

    values_shape = step.outputs[0].shape
    shape = values_shape if is_mean else (batch, steps.count, *values_shape[1:])
    specifications = map(_specification, (*state, *steps.per_target_state))
    traced_finish = trace(finish, request.size, tf.TensorSpec(shape, tf.float32), *specifications)
    traced = TracedMultiPass(step, traced_finish, passes_per_run, steps.count, len(state), is_mean)
    return traced, names[-1], forward_passes[-1].findings


def _specification(tensor: Any) -> Any:
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _tensor_bytes(graph: Any) -> int:
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size
        for operation in graph.get_operations()
        for tensor in operation.outputs
        if tensor.shape.num_elements() and tensor.dtype.size
    )
