"""The model of a live run: it looks at pictures of any size, in batches of several sizes, and can be exchanged."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from ..concurrency.group import Cancelled, StageTimer
from ..engine import load_explainer
from ..errors import DeviceError, StreamcamError
from ..frames import ColorSpec, MapKind, SourceInfo
from ..geometry import Geometry, Size
from ..options import ExplainOptions, ModelOptions

if TYPE_CHECKING:
    from ..engine.explainer import FrameExplainer
    from ..engine.runtime.replica import DeviceReplica
    from ..sources.resize import InputResizer
    from .pending_frame import PendingFrame

MAX_BATCH = 8
"""Frames a call: larger batches gain nothing that is worth their age."""

_WEIGHT = 0.1
"""Of the newest call in the running mean of its time."""

_SourceKey: TypeAlias = tuple[int, int, Fraction, ColorSpec]


class BatchSizes:
    """What looks at pictures of one input size: a replica on each device, for batches of several sizes.

    Attributes:
        explainer: whose they are.
        size: ``(width, height)`` of the model's input.
    """

    def __init__(self, explainer: FrameExplainer, size: Size) -> None:
        self.explainer = explainer
        self.size = size
        self._replicas: dict[int, tuple[DeviceReplica, ...]] = {}
        self._call_seconds: dict[int, float] = {}

    def add(self, batch: int, replicas: tuple[DeviceReplica, ...]) -> None:
        """Takes in replicas for batches of this size."""
        self._replicas = {**self._replicas, batch: replicas}

    def size_for(self, waiting: int, seconds: float) -> int:
        """How many of the waiting frames to take at once: as many as can be looked at in so many seconds, or one."""
        known = sorted(self._replicas)
        fitting = [n for n in known if n <= waiting and (n == known[0] or self._call_seconds.get(n, 0.0) <= seconds)]
        return min(waiting, max(fitting, default=known[0]))

    def replica_on(self, device: str, count: int) -> DeviceReplica:
        """The smallest that takes so many pictures on a device.

        Raises:
            DeviceError: the device is out.
        """
        sizes = sorted(self._replicas)
        batch = next((n for n in sizes if n >= count), sizes[-1])
        for replica in self._replicas[batch]:
            if replica.device == device and not replica.failed:
                return replica
        raise DeviceError(f"{device} is out")

    def record_time(self, count: int, seconds: float) -> None:
        """Notes how long a call took."""
        mean = self._call_seconds.get(count, seconds)
        self._call_seconds[count] = mean + (seconds - mean) * _WEIGHT


@dataclass(frozen=True, slots=True, eq=False)
class ModelBinding:
    """How the model looks at the pictures of one kind of source.

    Attributes:
        batch_sizes: what does it.
        geometry: how the pictures lie in the model's input.
        caption_detail: what makes the evidence, in a few words.
        map_kind: how its maps are shown.
        num_targets: how many maps a frame has.
    """

    batch_sizes: BatchSizes
    geometry: Geometry
    color: ColorSpec
    caption_detail: str
    map_kind: MapKind
    num_targets: int


@dataclass(slots=True, eq=False)
class _LoadedModel:
    """A loaded explainer with what was compiled of it."""

    explainer: FrameExplainer
    batch_sizes: dict[Size, BatchSizes] = field(default_factory=dict)
    bindings: dict[_SourceKey, ModelBinding] = field(default_factory=dict)
    layer: str = ""
    precision: str = ""


class InferenceService:
    """Loads and compiles in a thread of its own (`work_loop`), while everything else goes on.

    Args:
        model, explain: what is loaded first.
        num_cameras: how many there are: as many frames may be looked at together on a processor.
        notify: told what the user should know.

    Attributes:
        activity: what is being made ready; empty otherwise.
    """

    def __init__(
        self,
        model: ModelOptions,
        explain: ExplainOptions,
        num_cameras: int,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.activity = "loading the model"
        self._model, self._explain = model, explain
        self._num_cameras = num_cameras
        self._notify = notify
        self._loaded: _LoadedModel | None = None
        self._requested: dict[_SourceKey, SourceInfo] = {}
        self._unexplainable: set[_SourceKey] = set()
        self._tasks: deque[Callable[[], None]] = deque()
        self._stopped = False
        # Of an RLock: who waits for an optic asks for it.
        self._condition = threading.Condition(threading.RLock())
        self._timer = StageTimer()
        self._layers: tuple[str, ...] = ()
        self._notified: set[str] = set()

    def work_loop(self, on_loaded: Callable[[Sequence[str]], None]) -> None:
        """Loads the model and does what is asked for, until it is stopped.

        Args:
            on_loaded: called once, with the devices that it computes on.

        Raises:
            StreamcamError: the first model cannot be loaded or explained.
        """
        self._loaded = _LoadedModel(load_explainer(self._model, self._explain, limit_threads=True))
        on_loaded(self._loaded.explainer.devices)
        while True:
            with self._condition:
                while not (self._tasks or self._stopped):
                    self.activity = ""
                    self._condition.wait()
                if self._stopped:
                    break
                task = self._tasks.popleft()
            task()
        while self._tasks:
            self._tasks.popleft()()

    def stop(self) -> None:
        """Ends `work_loop`; changes that wait fail."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    @property
    def explainer(self) -> FrameExplainer | None:
        """What explains at the moment."""
        return None if self._loaded is None else self._loaded.explainer

    @property
    def options(self) -> ExplainOptions:
        """What is explained at the moment, as asked for."""
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
        """Of the arithmetic; empty before it is known."""
        return "" if self._loaded is None else self._loaded.precision

    def binding_for(self, info: SourceInfo) -> ModelBinding | None:
        """How the model looks at such pictures; None while that is being made ready. Never waits."""
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
        """Waits until such pictures can be looked at, or never will be."""
        with self._condition:
            while not (self._stopped or _source_key(info) in self._unexplainable or self.binding_for(info)):
                self._condition.wait()

    def change(self, **explain: Any) -> None:
        """Explains something else from now on; returns when that is ready. What was before goes on meanwhile.

        Raises:
            StreamcamError: it cannot be had, or the run ends; nothing has changed.
        """
        done: Future[None] = Future()
        self._submit(done, lambda: self._swap_model(explain))
        done.result()

    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that can be explained; takes seconds the first time.

        Raises:
            StreamcamError: the model cannot be loaded, or the run ends.
        """
        done: Future[tuple[str, ...]] = Future()
        self._submit(done, self._list_layers)
        return done.result()

    def run(
        self, device: str, shots: Sequence[PendingFrame], resizer_for: Callable[[ModelBinding], InputResizer]
    ) -> None:
        """Explains frames of one kind on one device, and settles them.

        Args:
            device: one of those that it computes on.
            batch: with the same kernels.
            resizer_for: that of the calling thread.

        Raises:
            StreamcamError: the device or the model failed; the frames are not settled.
        """
        bindings = [pending.binding for pending in shots if pending.binding is not None]
        batch_sizes = bindings[0].batch_sizes
        replica = batch_sizes.replica_on(device, len(shots))
        frames = tuple(
            replace(shot.frame, model_input=resizer_for(binding)(shot.frame.video_frame))
            for shot, binding in zip(shots, bindings, strict=True)
        )
        started = time.monotonic()
        (worker,) = batch_sizes.explainer.workers((replica,), self._timer, on_note=self._notify_once)
        _, explained = worker(frames)
        batch_sizes.record_time(len(shots), time.monotonic() - started)
        for error in batch_sizes.explainer.frame_errors:
            self._notify_once(error.partition(": ")[2])
        batch_sizes.explainer.frame_errors.clear()
        for shot, result in zip(shots, explained, strict=True):
            shot.resolve(result)

    def _submit(self, done: Future[Any], task: Callable[[], Any]) -> None:
        """Has something done by `work_loop`."""

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
            self._notify_once(f"{info.name} is shown without maps: {error}")
            with self._condition:
                self._unexplainable.add(_source_key(info))
                self._condition.notify_all()

    def _bind(self, state: _LoadedModel, info: SourceInfo) -> None:
        """Makes ready what looks at one kind of picture: one at a time first, larger batches later."""
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
            caption_detail=prepared.caption_detail(state.explainer.method),
            map_kind=state.explainer.display,
            num_targets=len(state.explainer.targets),
        )
        with self._condition:
            state.bindings = {**state.bindings, _source_key(info): binding}
            self._condition.notify_all()
        self.activity = ""
        for line in prepared.notes:
            self._notify_once(line)

    def _larger_batches(self, state: _LoadedModel) -> list[int]:
        largest = self._explain.batch or (
            MAX_BATCH if any(not name.startswith("cpu") for name in state.explainer.devices) else self._num_cameras
        )
        largest = min(largest, MAX_BATCH)
        return sorted({largest, *(2**n for n in range(1, 4) if 2**n <= largest)} - {0, 1})

    def _add_batch(self, state: _LoadedModel, info: SourceInfo, batch: int) -> None:
        if state is not self._loaded:
            return
        try:
            prepared = state.explainer.prepare(info, batch=batch)
        except StreamcamError as error:
            self._notify_once(f"no more than {batch - 1} frames at once: {error}")
            return
        state.batch_sizes[prepared.geometry.input].add(batch, prepared.all_replicas)

    def _swap_model(self, explain: dict[str, Any]) -> None:
        previous = self._loaded
        assert previous is not None
        self.activity = f"compiling {explain.get('method', previous.explainer.method)}"
        state = _LoadedModel(previous.explainer.with_options(**explain))
        for info in list(self._requested.values()):
            self._bind(state, info)
        self._explain, self._loaded = replace(self._explain, **explain), state
        previous.explainer.drop_executables()

    def _list_layers(self) -> tuple[str, ...]:
        assert self._loaded is not None
        self.activity = "looking at the layers"
        self._layers = self._layers or self._loaded.explainer.layers()
        return self._layers

    def _notify_once(self, line: str) -> None:
        """Says what is to be said once in a run that has no end."""
        if line not in self._notified:
            self._notified.add(line)
            self._notify(line)


def _source_key(info: SourceInfo) -> _SourceKey:
    return info.width, info.height, info.pixel_aspect, info.color


def inference_loop(
    inference: InferenceService,
    device: str,
    next_batch: Callable[[], tuple[PendingFrame, ...]],
    on_failed: Callable[[str, StreamcamError], None],
) -> None:
    """A thread's life in a device's service.

    Args:
        inference: what looks.
        device: where.
        next_batch: the next frames; raises `Cancelled` in the end.
        on_failed: told when the device has failed; it is not used again.
    """
    from ..sources.resize import InputResizer

    resizers: dict[tuple[Geometry, ColorSpec], InputResizer] = {}

    def resizer_for(binding: ModelBinding) -> InputResizer:
        key = binding.geometry, binding.color
        if key not in resizers:
            resizers[key] = InputResizer(*key)
        return resizers[key]

    while True:
        batch = next_batch()
        try:
            inference.run(device, batch, resizer_for)
        except StreamcamError as error:
            for pending in batch:
                pending.resolve(None)
            on_failed(device, error)
            raise Cancelled from None
