"""The many passes of perturbation and path methods, in batches of one size within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..methods import MultiPass
from ..tf import tf
from .compiler.freeze import freeze
from .forward_pass import ExplainRequest, ForwardPass
from .graph.tracing import quality_metric_names, stack_targets, trace
from .runtime.frozen_graph import FrozenGraph

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many passes are done, and how many there are."""

MEMORY_BUDGET_BYTES = 4 * 2**30
"""Bytes that the tensors of one batch of passes may take together, were none of them let go of before the end."""

_MIN_PROBE_PASSES = 8
"""Passes of each picture that tell precisions apart, at least."""

_NUM_SUMMARY_OUTPUTS = 5
"""Outputs of the first pass that say what the model saw; what the passes begin with comes after them."""


@dataclass(frozen=True, slots=True, eq=False)
class MultiPassExecutor:
    """Compiled passes of a method.

    Attributes:
        step: ``(frame, step, segment, classes, *state)`` → values of ``passes_per_run`` passes, or their sum for each frame.
        finish: ``(values, *state, *own)`` → maps and figures.
        passes_per_run: passes a run.
        num_passes: passes a frame.
        num_state_tensors: how many tensors the passes begin with.
        is_mean: True where only the mean of the passes is kept.
    """

    step: Callable[..., list[Any]]
    finish: Callable[..., list[Any]]
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def __call__(self, first: list[Any], frames: int, progress: Progress | None = None) -> list[Any]:
        """Maps and figures, from what the first pass gave.

        Args:
            first: its outputs.
            frames: how many of the batch's frames are wanted.
            progress: told after each run.
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
        """Values of one run of passes, spread evenly over all, around their mean where each is one number."""
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
        """One run of passes, from what the first pass gave."""
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
    """`MultiPassExecutor` that run nowhere yet; the same attributes."""

    step: FrozenGraph
    finish: FrozenGraph
    passes_per_run: int
    num_passes: int
    num_state_tensors: int
    is_mean: bool

    def load(self, device: str, precision: str) -> MultiPassExecutor:
        """Makes them ready to run; the model's arithmetic ends with its passes, what becomes of them is float32."""
        step, last = self.step.load(device, precision), self.finish.load(device)
        return MultiPassExecutor(step, last, self.passes_per_run, self.num_passes, self.num_state_tensors, self.is_mean)


def freeze_multi_pass(
    request: ExplainRequest, results: list[MultiPass], first: Any, batch: int, passes_per_run: int
) -> tuple[FrozenMultiPass, tuple[str, ...]]:
    """Traces and freezes the passes of a method.

    Args:
        request: what is to be explained.
        results: what the method returned, for each target.
        first: the traced first pass.
        batch: frames that go together.
        passes_per_run: passes in a run, fewer where these would take more than `MEMORY_BUDGET_BYTES`.

    Returns:
        The passes, and the names of the figures.

    Raises:
        MethodError, ModelError: as `trace`.
    """
    steps = results[0]
    state_outputs = first.outputs[_NUM_SUMMARY_OUTPUTS:]
    num_state_tensors = len(steps.shared_state)
    is_mean = steps.reduce == "mean"

    def run_passes(frame: Any, step: Any, segment: Any, classes: Any, *state: Any) -> list[Any]:
        rows = tuple(tf.gather(tensor, frame) for tensor in state)
        images = tf.cast(steps.perturb(rows, step), tf.float32)
        forward_pass = ForwardPass(request, images, tf.gather(classes, frame))
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
    return FrozenMultiPass(
        freeze(step), freeze(traced_finish), passes_per_run, steps.count, num_state_tensors, is_mean
    ), names[-1]


def _tensor_bytes(graph: Any) -> int:
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size
        for operation in graph.get_operations()
        for tensor in operation.outputs
        if tensor.shape.num_elements() and tensor.dtype.size
    )
