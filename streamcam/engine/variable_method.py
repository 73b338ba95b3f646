"""A method on a model whose weights change: traced once, with the weights as variables.

A model in training has other weights after each step. A frozen graph would be rewritten, tuned and loaded each time;
the functions here read the model's variables whenever they run. They give up the compiler passes and lower precisions
for it, so that a run takes longer than that of a frozen graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..geometry import Size
from ..methods import Method
from ..models.load import LoadedModel
from ..models.targets import NO_CLASS, TOP, TargetCodes
from ..tf import tf
from .compile import TracedMethod, trace_method
from .compiled_method import NUM_TOP_OUTPUTS, Executable
from .forward_pass import ExplainRequest
from .multi_pass import MultiPassExecutor


@dataclass(frozen=True, slots=True, eq=False)
class VariableMethod:
    """A traced method that reads the model's variables; see `streamcam.engine.compiled_method.MethodProperties`.

    Attributes:
        traced: the concrete functions.
        size: ``(width, height)`` of the images.
        batch: images a run.
    """

    traced: TracedMethod
    size: Size
    batch: int

    @property
    def layer(self) -> str:
        """Path of the target layer, or ``input``."""
        return self.traced.layer

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the quality metrics."""
        return self.traced.metric_names

    @property
    def codes(self) -> TargetCodes:
        """Code of the most probable class, ``(1, 2)``."""
        return np.array([(TOP, NO_CLASS)], np.int32)

    @property
    def needs_input_gradient(self) -> bool:
        """True if gradients go all the way back to the input."""
        return self.traced.findings.needs_input_gradient

    @property
    def is_score_difference(self) -> bool:
        """True if maps are differences between the scores of many passes."""
        return self.traced.passes is not None and not self.traced.passes.is_mean


def load_variable_method(
    loaded: LoadedModel, method: Method, *, layer: str, shape: tuple[int, int, int, int], passes_per_run: int = 0
) -> Executable:
    """Trace a method on a model in training; takes a second or more, once.

    The executable takes model input, float32 ``(n, height, width, channels)``: nothing is preprocessed. It computes on
    TensorFlow's default device, in the model's own precision.

    Args:
        loaded: a classifier; its ``preprocess`` makes the model input of gray images, which some methods need.
        method: what to compute.
        layer: path of the target layer, or ``auto``.
        shape: of the model input: batch, height, width, channels.
        passes_per_run: passes a run, for methods of many; 0 is the batch.

    Raises:
        LayerError: the layer does not exist or cannot be explained.
        MethodError: the method cannot be used on this model.
        ModelError: the model cannot be run on such images.
    """
    batch, height, width, _ = shape
    size = width, height
    traced = trace_method(
        ExplainRequest(loaded, method, layer, (), True, size),
        tf.TensorSpec(shape, tf.float32),
        lambda images: images,
        passes_per_run or batch,
    )
    passes, num_shared = traced.passes, NUM_TOP_OUTPUTS
    executor = None
    if passes is not None:
        num_shared += passes.num_state_tensors
        executor = MultiPassExecutor(
            _TargetFunction(passes.step, 0),
            _function(passes.finish),
            passes.passes_per_run,
            passes.num_passes,
            passes.is_mean,
        )
    return Executable(
        first=_TargetFunction(traced.first, num_shared),
        method=VariableMethod(traced, size, batch),
        precision=traced.findings.survey.native_precision or "float32",
        device="",
        passes=executor,
    )


class _TargetFunction:
    """A concrete function, run once for each target; called as a `TargetGraph`."""

    def __init__(self, function: Any, num_shared: int) -> None:
        self._run, self._num_shared = _function(function), num_shared

    def __call__(self, codes: TargetCodes, *inputs: NDArray[Any]) -> tuple[list[Any], list[list[Any]]]:
        runs = [self._run(*inputs, codes[:, target]) for target in range(codes.shape[1])]
        return runs[0][: self._num_shared], [run[self._num_shared :] for run in runs]


def _function(function: Any) -> Callable[..., list[NDArray[Any]]]:
    """Return a concrete function as one of arrays."""
    dtypes = [tensor.dtype for tensor in function.inputs]

    def run(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
        # The inputs come before the captured variables.
        tensors = [tf.convert_to_tensor(array, dtype) for array, dtype in zip(arrays, dtypes, strict=False)]
        try:
            return [np.asarray(output) for output in function(*tensors)]
        except tf.errors.OpError as error:
            raise ModelError(f"the model failed: {error.message}") from error

    return run
