"""Run the passes of perturbation and path methods within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..methods import MultiPass
from ..tf import tf
from .compiler.freeze import freeze
from .forward_pass import ExplainRequest, ForwardPass, TraceFindings
from .graph.tracing import quality_metric_names, stack_targets, trace
from .runtime.frozen_graph import FrozenGraph

Progress: TypeAlias = Callable[[int, int], None]
"""Called with passes done and passes in all."""

MEMORY_BUDGET_BYTES = 4 * 2**30
"""Bytes that the tensors of one batch of passes may take together, if none were freed before the end."""

_MIN_PROBE_PASSES = 8
"""Fewest passes of each image to compare precisions by."""

_NUM_SUMMARY_OUTPUTS = 5
"""Outputs of the first pass with classes and scores; the state for the further passes follows them."""


@dataclass(frozen=True, slots=True, eq=False)
class MultiPassExecutor:
    """Compiled passes of a method.

    Attributes:
        step: ``(frame, step, segment, classes, *state)`` → values of ``passes_per_run`` passes, or their sum for each
            frame.
        finish: ``(values, *state, *own)`` → maps and metrics.
        passes_per_run: passes a run.
        num_passes: passes a frame.
        num_state_tensors: number of tensors that the passes start from.
        is_mean: True if only the mean of the passes is kept.
    """

    step: Callable[..., list[Any]]
    finish: Callable[..., list[Any]]
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def __call__(self, first: list[Any], frames: int, progress: Progress | None = None) -> list[Any]:
        """Run all passes, and return maps and metrics.

        Args:
            first: outputs of the first pass.
            frames: number of the batch's frames to run for.
            progress: called after each run.
        """
        batch = int(first[0].shape[0])
        state = first[_NUM_SUMMARY_OUTPUTS : _NUM_SUMMARY_OUTPUTS + self.num_state_tensors]
        pass_indices = np.arange(frames * self.num_passes)
        collected: list[NDArray[np.float32]] = []
        total = None
        for values, done in self._runs(pass_indices, first[0], state):
            if self.is_mean:
                total = values if total is None else total + values
            else:
                collected.append(values[: done - (len(collected) * self.passes_per_run)])
            if progress is not None:
                progress(done, len(pass_indices))
        if self.is_mean:
            assert total is not None
            values = total / self.num_passes
        else:
            stacked = np.concatenate(collected)
            stacked = stacked.reshape(frames, self.num_passes, *stacked.shape[1:])
            missing = np.broadcast_to(stacked[-1:], (batch - frames, *stacked.shape[1:]))
            values = np.moveaxis(np.concatenate([stacked, missing]), 1, 2)
        return self.finish(values, *first[_NUM_SUMMARY_OUTPUTS:])

    def sample(self, first: list[Any], frames: int) -> NDArray[np.float32]:
        """Return the values of evenly spread passes, to compare precisions.

        Values of one number per pass are relative to their mean.
        """
        state = first[_NUM_SUMMARY_OUTPUTS : _NUM_SUMMARY_OUTPUTS + self.num_state_tensors]
        passes_per_frame = max(_MIN_PROBE_PASSES, self.passes_per_run // frames)
        steps = np.linspace(0, self.num_passes - 1, passes_per_frame).astype(np.int64)
        pass_indices = np.concatenate([frame * self.num_passes + steps for frame in range(frames)])
        runs = list(self._runs(pass_indices, first[0], state))
        if self.is_mean:
            stacked = sum(values for values, _ in runs)
            return np.asarray(stacked[:frames], np.float32)
        stacked = np.concatenate([values for values, _ in runs])[: len(pass_indices)]
        stacked = stacked.reshape(frames, passes_per_frame, *stacked.shape[1:])
        return np.asarray(stacked - stacked.mean(axis=1, keepdims=True), np.float32)

    def warm_up(self, first: list[Any]) -> None:
        """Run one batch of passes from the outputs of the first pass."""
        next(
            self._runs(
                np.arange(1), first[0], first[_NUM_SUMMARY_OUTPUTS : _NUM_SUMMARY_OUTPUTS + self.num_state_tensors]
            )
        )

    def _runs(self, pass_indices: NDArray[np.int64], classes: Any, state: list[Any]) -> Iterator[tuple[Any, int]]:
        for start in range(0, len(pass_indices), self.passes_per_run):
            run_indices = pass_indices[start : start + self.passes_per_run]
            frame, step = np.divmod(
                np.pad(run_indices, (0, self.passes_per_run - len(run_indices)), mode="edge"), self.num_passes
            )
            segment = np.where(np.arange(self.passes_per_run) < len(run_indices), frame, -1)
            numbers = (values.astype(np.int32) for values in (frame, step, segment))
            (values,) = self.step(*numbers, classes, *state)
            yield values, start + len(run_indices)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenMultiPass:
    """A `MultiPassExecutor` without a device; the same attributes."""

    step: FrozenGraph
    finish: FrozenGraph
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def load(self, device: str, precision: str) -> MultiPassExecutor:
        """Load the passes on a device; they run in ``precision``, the reduction to maps in float32."""
        step, last = self.step.load(device, precision), self.finish.load(device)
        return MultiPassExecutor(step, last, self.passes_per_run, self.num_passes, self.num_state_tensors, self.is_mean)


def freeze_multi_pass(
    request: ExplainRequest, results: list[MultiPass], first: Any, batch: int, passes_per_run: int
) -> tuple[FrozenMultiPass, tuple[str, ...], TraceFindings]:
    """Trace and freeze the passes of a method.

    Args:
        request: the model, method and targets.
        results: results of the method, for each target.
        first: the traced first pass.
        batch: frames in a batch.
        passes_per_run: passes in a run, fewer if these would take more than `MEMORY_BUDGET_BYTES`.

    Returns:
        The passes, the names of the quality metrics, and the findings of their trace.

    Raises:
        MethodError, ModelError: as `trace`.
    """
    steps = results[0]
    state_outputs = first.outputs[_NUM_SUMMARY_OUTPUTS:]
    num_state_tensors = len(steps.shared_state)
    is_mean = steps.reduce == "mean"
    forward_passes: list[ForwardPass] = []

    def run_passes(frame: Any, step: Any, segment: Any, classes: Any, *state: Any) -> list[Any]:
        rows = tuple(tf.gather(tensor, frame) for tensor in state)
        images = tf.cast(steps.perturb(rows, step), tf.float32)
        forward_pass = ForwardPass(request, images, tf.gather(classes, frame))
        forward_passes.append(forward_pass)
        values = tf.stack(
            [multi_pass.measure(context) for multi_pass, context in zip(results, forward_pass.contexts(), strict=True)],
            axis=1,
        )
        return [tf.math.unsorted_segment_sum(values, segment, batch) if is_mean else values]

    def trace_passes(passes_per_run: int) -> Any:
        numbers = [tf.TensorSpec((passes_per_run,), tf.int32)] * 3
        state = [
            tf.TensorSpec(tensor.shape, tensor.dtype)
            for tensor in (first.outputs[0], *state_outputs[:num_state_tensors])
        ]
        return trace(run_passes, request.size, *numbers, *state)

    step = trace_passes(passes_per_run)
    bytes_per_pass = _tensor_bytes(step.graph) / passes_per_run
    if bytes_per_pass * passes_per_run > MEMORY_BUDGET_BYTES and passes_per_run > 1:
        passes_per_run = max(1, int(MEMORY_BUDGET_BYTES // bytes_per_pass))
        step = trace_passes(passes_per_run)
    names: list[tuple[str, ...]] = []

    def finish(values: Any, *state_outputs: Any) -> list[Any]:
        state, per_target_state = state_outputs[:num_state_tensors], state_outputs[num_state_tensors:]
        tensors_per_target = len(per_target_state) // len(results)
        maps = [
            target.maps(state, per_target_state[n * tensors_per_target : (n + 1) * tensors_per_target], values[:, n])
            for n, target in enumerate(results)
        ]
        names.append(quality_metric_names(maps))
        return stack_targets(maps)

    values_shape = step.outputs[0].shape
    shape = values_shape if is_mean else (batch, values_shape[1], steps.count, *values_shape[2:])
    specifications = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in state_outputs]
    traced_finish = trace(finish, request.size, tf.TensorSpec(shape, tf.float32), *specifications)
    frozen = FrozenMultiPass(
        freeze(step), freeze(traced_finish), passes_per_run, steps.count, num_state_tensors, is_mean
    )
    return frozen, names[-1], forward_passes[-1].findings


def _tensor_bytes(graph: Any) -> int:
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size
        for operation in graph.get_operations()
        for tensor in operation.outputs
        if tensor.shape.num_elements() and tensor.dtype.size
    )
