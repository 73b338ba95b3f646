"""The model of a live run: loads, compiles for each kind of camera, and swaps the method while frames go on."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from ..engine import load_explainer
from ..errors import StreamcamError, count_of
from ..frames import ColorSpec, SourceInfo
from ..geometry import Size
from ..notes import get_logger
from ..options import ExplainOptions, ModelOptions
from ..temporal import ZeroMapCounter
from .model_binding import BatchSizes, ModelBinding

if TYPE_CHECKING:
    from ..engine.explainer import FrameExplainer

logger = get_logger(__name__)

MAX_BATCH = 8
"""Frames a call: larger batches gain less than their latency costs."""

_SourceKey: TypeAlias = tuple[int, int, Fraction, ColorSpec]


@dataclass(slots=True, eq=False)
class _LoadedModel:
    """A loaded explainer with what was compiled of it."""

    explainer: FrameExplainer
    batch_sizes: dict[Size, BatchSizes] = field(default_factory=dict)
    bindings: dict[_SourceKey, ModelBinding] = field(default_factory=dict)
    layer: str = ""
    precision: str = ""

    def with_targets(self, explainer: FrameExplainer) -> _LoadedModel:
        """Return the same for an explainer that differs in targets only."""
        batch_sizes = {size: one.with_explainer(explainer) for size, one in self.batch_sizes.items()}
        bindings = {
            key: replace(one, batch_sizes=batch_sizes[one.batch_sizes.size], num_targets=len(explainer.targets))
            for key, one in self.bindings.items()
        }
        return _LoadedModel(explainer, batch_sizes, bindings, self.layer, self.precision)


class InferenceService:
    """Loads and compiles in its own thread (`work_loop`).

    Frames go on meanwhile.

    Args:
        model: the model.
        explain: options of the first explanation.
        num_cameras: number of cameras: on a CPU, as many frames may be explained together.

    Attributes:
        activity: the load or compilation in progress; empty otherwise.
        zero_maps: counts explained frames without anything to draw, and logs a note once.
    """

    def __init__(self, model: ModelOptions, explain: ExplainOptions, num_cameras: int) -> None:
        self.activity = "loading the model"
        self.zero_maps = ZeroMapCounter(functools.partial(self.log_once, logging.WARNING))
        self._model, self._explain = model, explain
        self._num_cameras = num_cameras
        self._loaded: _LoadedModel | None = None
        self._requested: dict[_SourceKey, SourceInfo] = {}
        self._unexplainable: set[_SourceKey] = set()
        self._tasks: deque[Callable[[], None]] = deque()
        self._stopped = False
        # An RLock: `wait_until_ready` calls `binding_for`.
        self._condition = threading.Condition(threading.RLock())
        self._layers: tuple[str, ...] = ()
        self._logged: set[str] = set()

    def work_loop(self, on_loaded: Callable[[Sequence[str]], None]) -> None:
        """Load the model and run requested tasks, until stopped.

        Args:
            on_loaded: called once, with the model's devices.

        Raises:
            StreamcamError: the first model cannot be loaded or explained.
        """
        # The model gets its share from `LoadController`, and would get little of it at a lower priority.
        self._loaded = _LoadedModel(load_explainer(self._model, self._explain, limit_threads=True, threads_yield=False))
        on_loaded(self._loaded.explainer.pool.devices)
        while True:
            with self._condition:
                while not (self._tasks or self._stopped):
                    self.activity = ""
                    self._condition.wait()
                if self._stopped:
                    break
                task = self._tasks.popleft()
            task()
        self.zero_maps.close()
        while self._tasks:
            self._tasks.popleft()()

    def stop(self) -> None:
        """End `work_loop`; waiting changes fail."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    @property
    def explainer(self) -> FrameExplainer | None:
        """The explainer in use; None before the model is loaded."""
        return None if self._loaded is None else self._loaded.explainer

    @property
    def options(self) -> ExplainOptions:
        """Options of the current explanation, as requested."""
        return self._explain

    @property
    def ready(self) -> bool:
        """True once something is compiled."""
        return self._loaded is not None and bool(self._loaded.bindings)

    @property
    def layer(self) -> str:
        """Path of the target layer, or ``input``; empty before it is known."""
        return "" if self._loaded is None else self._loaded.layer

    @property
    def precision(self) -> str:
        """Precision of the arithmetic; empty before it is known."""
        return "" if self._loaded is None else self._loaded.precision

    def binding_for(self, info: SourceInfo) -> ModelBinding | None:
        """Return the binding for a kind of source; None while it is compiled. Never waits."""
        key = _source_key(info)
        state = self._loaded
        if state is not None and key in state.bindings:
            return state.bindings[key]
        if key not in self._requested:
            with self._condition:
                self._requested[key] = info
                self._tasks.append(lambda: self._bind_first(info))
                self._condition.notify_all()
        return None

    def wait_until_ready(self, info: SourceInfo) -> None:
        """Wait until such frames can be explained, or certainly cannot."""
        with self._condition:
            while not (self._stopped or _source_key(info) in self._unexplainable or self.binding_for(info)):
                self._condition.wait()

    def change(self, **explain: Any) -> None:
        """Change the explanation; return once the new one is compiled.

        The old one runs meanwhile.

        Args:
            **explain: fields of `ExplainOptions`.

        Raises:
            StreamcamError: the change is impossible, or the run ends; the explanation stays as it was.
        """
        done: Future[None] = Future()
        self._submit(done, lambda: self._swap_model(explain))
        done.result()

    def layers(self) -> tuple[str, ...]:
        """Return the paths of the layers that can be explained; takes seconds the first time.

        Raises:
            StreamcamError: the model cannot be loaded, or the run ends.
        """
        done: Future[tuple[str, ...]] = Future()
        self._submit(done, self._list_layers)
        return done.result()

    def _submit(self, done: Future[Any], task: Callable[[], Any]) -> None:
        """Have `work_loop` run a task."""

        def resolve() -> None:
            if self._stopped:
                done.set_exception(StreamcamError("the run has ended"))
                return
            try:
                done.set_result(task())
            except BaseException as error:
                done.set_exception(error)

        with self._condition:
            if not self._stopped:
                self._tasks.append(resolve)
                self._condition.notify_all()
                return
        resolve()

    def _bind_first(self, info: SourceInfo) -> None:
        state = self._loaded
        assert state is not None
        first = not state.bindings
        self.activity = self.activity or f"compiling for {info.width}x{info.height}"
        try:
            self._bind(state, info)
        except StreamcamError as error:
            if first:
                raise
            self.log_once(logging.WARNING, f"{info.name} is shown without maps: {error}")
            with self._condition:
                self._unexplainable.add(_source_key(info))
                self._condition.notify_all()

    def _bind(self, state: _LoadedModel, info: SourceInfo) -> None:
        """Compile for one kind of source: single frames first, larger batches later."""
        prepared = state.explainer.prepare(info, batch=1)
        size = prepared.geometry.input
        if size not in state.batch_sizes:
            state.batch_sizes[size] = BatchSizes(state.explainer, size)
            state.batch_sizes[size].add(1, prepared.all_replicas)
            with self._condition:
                self._tasks.extend(
                    functools.partial(self._add_batch, state, info, n) for n in self._larger_batches(state)
                )
        state.layer, state.precision = prepared.executable.layer, prepared.executable.precision
        binding = ModelBinding(
            batch_sizes=state.batch_sizes[size],
            geometry=prepared.geometry,
            color=info.color,
            caption_facts=prepared.caption_facts(state.explainer.method, state.explainer.targets, state.explainer.info),
            map_kind=state.explainer.map_kind,
            num_targets=len(state.explainer.targets),
        )
        with self._condition:
            state.bindings = {**state.bindings, _source_key(info): binding}
            self._condition.notify_all()
        self.activity = ""
        for line in prepared.notes:
            self.log_once(logging.INFO, line)

    def _larger_batches(self, state: _LoadedModel) -> list[int]:
        on_gpu = any(not name.startswith("cpu") for name in state.explainer.pool.devices)
        largest = self._explain.batch or (MAX_BATCH if on_gpu else self._num_cameras)
        largest = min(largest, MAX_BATCH)
        return sorted({largest, *(2**n for n in range(1, 4) if 2**n <= largest)} - {0, 1})

    def _add_batch(self, state: _LoadedModel, info: SourceInfo, batch: int) -> None:
        if state is not self._loaded:
            return
        try:
            prepared = state.explainer.prepare(info, batch=batch)
        except StreamcamError as error:
            self.log_once(logging.WARNING, f"no more than {count_of(batch - 1, 'frame')} at once: {error}")
            return
        state.batch_sizes[prepared.geometry.input].add(batch, prepared.all_replicas)

    def _swap_model(self, explain: dict[str, Any]) -> None:
        previous = self._loaded
        assert previous is not None
        self.activity = f"compiling {explain.get('method', previous.explainer.method)}"
        explainer = previous.explainer.with_options(**explain)
        shared = explainer.shares_executables(previous.explainer)
        state = previous.with_targets(explainer) if shared else _LoadedModel(explainer)
        for key, info in list(self._requested.items()):
            if key not in state.bindings:
                self._bind(state, info)
            elif missing := set(self._larger_batches(state)) - set(state.bindings[key].batch_sizes.known):
                with self._condition:
                    self._tasks.extend(functools.partial(self._add_batch, state, info, n) for n in sorted(missing))
        self._explain, self._loaded = replace(self._explain, **explain), state
        previous.explainer.drop_executables()

    def _list_layers(self) -> tuple[str, ...]:
        assert self._loaded is not None
        self.activity = "listing the layers"
        self._layers = self._layers or self._loaded.explainer.layers()
        return self._layers

    def log_once(self, level: int, line: str) -> None:
        """Log each line only once: an endless run would repeat it."""
        if line not in self._logged:
            self._logged.add(line)
            logger.log(level, "%s", line)


def _source_key(info: SourceInfo) -> _SourceKey:
    return info.width, info.height, info.pixel_aspect, info.color
