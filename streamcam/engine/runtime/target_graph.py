"""Run a compiled graph for any number of run-time targets.

A graph explains one target, whose code is an input. For several targets its target-independent part runs once (the
forward pass, most of the work) and the rest once a target. Both are parts of the same loaded graph: TensorFlow runs the
operations between the tensors that are fed and those that are fetched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...models.targets import FUNCTION, TOP, TargetCodes
from ...tf import tf
from ..graph.layer_trace import ancestors, descendants
from .frozen_graph import FrozenGraph, LoadedGraph

MAX_GPU_STATE_BYTES = 16 * 2**20
"""Bytes between the two parts from which a GPU runs the whole graph for each target: the parts meet in host memory."""

_Arrays: TypeAlias = list[NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The two parts of a loaded graph, with their outputs' positions.

    Attributes:
        shared: inputs → outputs that do not depend on the target's code, then the state.
        rest: code, then the state → outputs that depend on the code.
        independent: positions of the outputs of ``shared``.
        dependent: positions of the outputs of ``rest``.
    """

    shared: Callable[..., _Arrays]
    rest: Callable[..., _Arrays]
    independent: tuple[int, ...]
    dependent: tuple[int, ...]


class TargetGraph:
    """A loaded graph that explains several targets; thread-safe.

    Its outputs are ``num_shared`` tensors for all targets, then as many tensors for the target with a code as for each
    compiled function. The code is its last input.

    Args:
        frozen: the graph.
        device: as from `resolve_devices`.
        precision: precision of the arithmetic.
        num_shared: number of outputs that all targets share.
        num_functions: number of functions that are compiled in.
        by_code: True if there is a target with a code.
        xla: as for `FrozenGraph.load`.
        threads_yield: as for `LoadedGraph`.
    """

    def __init__(
        self,
        frozen: FrozenGraph,
        device: str,
        precision: str,
        *,
        num_shared: int,
        num_functions: int,
        by_code: bool,
        xla: bool = False,
        threads_yield: bool = True,
    ) -> None:
        self.loaded: LoadedGraph = frozen.load(device, precision, xla=xla, threads_yield=threads_yield)
        self._on_cpu = device.startswith("cpu")
        self._inputs, self._outputs = frozen.inputs, frozen.outputs
        self._num_shared, self._by_code = num_shared, by_code
        self._per_target = (len(frozen.outputs) - num_shared) // (num_functions + by_code)

    @property
    def graph(self) -> Any:
        """The loaded `tf.Graph`."""
        return self.loaded.graph

    def __call__(self, codes: TargetCodes, *inputs: NDArray[Any]) -> tuple[_Arrays, list[_Arrays]]:
        """Run the graph.

        Args:
            codes: targets of each row, ``(rows, targets, 2)``; a function has the same code in every row.
            *inputs: an array for each other input.

        Returns:
            The shared outputs, and those of each target, in the order of the codes.
        """
        functions = [FUNCTION - int(code) if code <= FUNCTION else None for code in codes[0, :, 0]]
        coded = [codes[:, n] for n, function in enumerate(functions) if function is None]
        if not coded and self._by_code:  # only functions are asked for
            coded = [np.full(codes[:, 0].shape, TOP, np.int32)]
        runs = self._run(coded, inputs)
        in_order = iter(runs)
        first = self._num_shared + self._by_code * self._per_target
        per_target = [
            next(in_order)[self._num_shared : self._num_shared + self._per_target]
            if function is None
            else runs[0][first + function * self._per_target :][: self._per_target]
            for function in functions
        ]
        return runs[0][: self._num_shared], per_target

    def _run(self, codes: Sequence[TargetCodes], inputs: tuple[NDArray[Any], ...]) -> list[_Arrays]:
        """Return all outputs, once for each code; once if there is none."""
        if not codes:
            return [self.loaded(*inputs)]
        if len(codes) == 1 or (parts := self._parts) is None:
            return [self.loaded(*inputs, code) for code in codes]
        shared = parts.shared(*inputs)
        state = shared[len(parts.independent) :]
        runs = []
        for code in codes:
            outputs: dict[int, NDArray[Any]] = dict(zip(parts.independent, shared, strict=False))
            outputs |= dict(zip(parts.dependent, parts.rest(code, *state), strict=True))
            runs.append([outputs[n] for n in range(len(self._outputs))])
        return runs

    @functools.cached_property
    def _parts(self) -> _Parts | None:
        """The two parts; None if the graph cannot be parted, or is faster as a whole."""
        get = self.graph.get_tensor_by_name
        *inputs, code = (get(name) for name in self._inputs)
        from_code = descendants(code)
        state = _find_state(self.graph, from_code, set().union(*map(descendants, inputs)))
        if state is None or not (self._on_cpu or _num_bytes(state) <= MAX_GPU_STATE_BYTES):
            return None
        dependent = tuple(n for n, name in enumerate(self._outputs) if get(name).name in from_code)
        independent = tuple(n for n in range(len(self._outputs)) if n not in dependent)
        needed = set().union(*(ancestors(get(self._outputs[n])) for n in dependent))
        state = [tensor for tensor in state if tensor.name in needed]
        return _Parts(
            self.loaded.part(inputs, [*(get(self._outputs[n]) for n in independent), *state]),
            self.loaded.part([code, *state], [get(self._outputs[n]) for n in dependent]),
            independent,
            dependent,
        )


def _find_state(graph: Any, from_code: set[str], from_inputs: set[str]) -> list[Any] | None:
    """Return the tensors that operations behind the code read from before it; None if they cannot be fetched."""
    state: dict[str, Any] = {}
    before_code = from_inputs - from_code
    for operation in graph.get_operations():
        if not any(output.name in from_code for output in operation.outputs):
            continue
        controls = [tensor for one in operation.control_inputs for tensor in (*one.inputs, *one.outputs)]
        if any(tensor.name in before_code for tensor in controls):
            return None
        state |= {tensor.name: tensor for tensor in operation.inputs if tensor.name in before_code}
    if any(tensor.dtype in (tf.resource, tf.variant, tf.string) for tensor in state.values()):
        return None  # a stack of a loop
    return list(state.values())


def _num_bytes(tensors: Iterable[Any]) -> int:
    return sum((tensor.shape.num_elements() or 0) * tensor.dtype.size for tensor in tensors)
