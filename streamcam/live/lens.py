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

from ..config import ExplainOptions, ModelOptions
from ..engine import load_explainer
from ..errors import DeviceError, StreamcamError
from ..flow import Cancelled, StageClock
from ..frames import Colour, Display, SourceInfo
from ..geometry import Geometry, Size

if TYPE_CHECKING:
    from ..engine.explainer import StreamExplainer
    from ..engine.replica import Replica
    from ..sources.scale import Scaler
    from .shot import Shot

AT_MOST = 8
"""Frames a call: larger batches gain nothing that is worth their age."""

_WEIGHT = 0.1
"""Of the newest call in the running mean of its time."""

_Kind: TypeAlias = tuple[int, int, Fraction, Colour]


class Kernels:
    """What looks at pictures of one input size: a replica on each device, for batches of several sizes.

    Attributes:
        explainer: whose they are.
        size: ``(width, height)`` of the model's input.
    """

    def __init__(self, explainer: StreamExplainer, size: Size) -> None:
        self.explainer = explainer
        self.size = size
        self._replicas: dict[int, tuple[Replica, ...]] = {}
        self._seconds: dict[int, float] = {}

    def add(self, batch: int, replicas: tuple[Replica, ...]) -> None:
        """Takes in replicas for batches of this size."""
        self._replicas = {**self._replicas, batch: replicas}

    def size_for(self, waiting: int, seconds: float) -> int:
        """How many of the waiting frames to take at once: as many as can be looked at in so many seconds, or one."""
        known = sorted(self._replicas)
        fitting = [n for n in known if n <= waiting and (n == known[0] or self._seconds.get(n, 0.0) <= seconds)]
        return min(waiting, max(fitting, default=known[0]))

    def on(self, device: str, count: int) -> Replica:
        """The smallest that takes so many pictures on a device.

        Raises:
            DeviceError: the device is out.
        """
        sizes = sorted(self._replicas)
        batch = next((n for n in sizes if n >= count), sizes[-1])
        for replica in self._replicas[batch]:
            if replica.device == device and not replica.out:
                return replica
        raise DeviceError(f"{device} is out")

    def took(self, count: int, seconds: float) -> None:
        """Notes how long a call took."""
        before = self._seconds.get(count, seconds)
        self._seconds[count] = before + (seconds - before) * _WEIGHT


@dataclass(frozen=True, slots=True, eq=False)
class Optic:
    """How the model looks at the pictures of one kind of source.

    Attributes:
        kernels: what does it.
        geometry: how the pictures lie in the model's input.
        detail: what makes the evidence, in a few words.
        display: how its maps are shown.
        targets: how many maps a frame has.
    """

    kernels: Kernels
    geometry: Geometry
    colour: Colour
    detail: str
    display: Display
    targets: int


@dataclass(slots=True, eq=False)
class _State:
    """A loaded explainer with what was compiled of it."""

    explainer: StreamExplainer
    kernels: dict[Size, Kernels] = field(default_factory=dict)
    optics: dict[_Kind, Optic] = field(default_factory=dict)
    layer: str = ""
    precision: str = ""


class Lens:
    """Loads and compiles in a thread of its own (`run`), while everything else goes on.

    Args:
        model, explain: what is loaded first.
        cameras: how many there are: as many frames may be looked at together on a processor.
        say: told what the user should know.

    Attributes:
        busy: what is being made ready; empty otherwise.
    """

    def __init__(
        self, model: ModelOptions, explain: ExplainOptions, cameras: int, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.busy = "loading the model"
        self._model, self._explain = model, explain
        self._cameras = cameras
        self._say = say
        self._state: _State | None = None
        self._wanted: dict[_Kind, SourceInfo] = {}
        self._blind: set[_Kind] = set()
        self._work: deque[Callable[[], None]] = deque()
        self._stopped = False
        # Of an RLock: who waits for an optic asks for it.
        self._changed = threading.Condition(threading.RLock())
        self._clock = StageClock()
        self._layers: tuple[str, ...] = ()
        self._said: set[str] = set()

    def run(self, loaded: Callable[[Sequence[str]], None]) -> None:
        """Loads the model and does what is asked for, until it is stopped.

        Args:
            loaded: called once, with the devices that it computes on.

        Raises:
            StreamcamError: the first model cannot be loaded or explained.
        """
        self._state = _State(load_explainer(self._model, self._explain, shared=True))
        loaded(self._state.explainer.devices)
        while True:
            with self._changed:
                while not (self._work or self._stopped):
                    self.busy = ""
                    self._changed.wait()
                if self._stopped:
                    break
                work = self._work.popleft()
            work()
        while self._work:
            self._work.popleft()()

    def stop(self) -> None:
        """Ends `run`; changes that wait fail."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def explainer(self) -> StreamExplainer | None:
        """What explains at the moment."""
        return None if self._state is None else self._state.explainer

    @property
    def options(self) -> ExplainOptions:
        """What is explained at the moment, as asked for."""
        return self._explain

    @property
    def ready(self) -> bool:
        """True once something is compiled."""
        return self._state is not None and bool(self._state.optics)

    @property
    def layer(self) -> str:
        """Path of the target layer, or ``input``; empty before it is known."""
        return "" if self._state is None else self._state.layer

    @property
    def precision(self) -> str:
        """Of the arithmetic; empty before it is known."""
        return "" if self._state is None else self._state.precision

    def optic(self, info: SourceInfo) -> Optic | None:
        """How the model looks at such pictures; None while that is being made ready. Never waits."""
        kind = _kind(info)
        state = self._state
        if state is not None and kind in state.optics:
            return state.optics[kind]
        if kind not in self._wanted:
            with self._changed:
                self._wanted[kind] = info
                self._work.append(lambda: self._make_first(info))
                self._changed.notify_all()
        return None

    def wait_for(self, info: SourceInfo) -> None:
        """Waits until such pictures can be looked at, or never will be."""
        with self._changed:
            while not (self._stopped or _kind(info) in self._blind or self.optic(info)):
                self._changed.wait()

    def change(self, **explain: Any) -> None:
        """Explains something else from now on; returns when that is ready. What was before goes on meanwhile.

        Raises:
            StreamcamError: it cannot be had, or the run ends; nothing has changed.
        """
        done: Future[None] = Future()
        self._ask(done, lambda: self._exchange(explain))
        done.result()

    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that can be explained; takes seconds the first time.

        Raises:
            StreamcamError: the model cannot be loaded, or the run ends.
        """
        done: Future[tuple[str, ...]] = Future()
        self._ask(done, self._surveyed)
        return done.result()

    def look(self, device: str, shots: Sequence[Shot], scaler: Callable[[Optic], Scaler]) -> None:
        """Explains frames of one kind on one device, and settles them.

        Args:
            device: one of those that it computes on.
            shots: with the same kernels.
            scaler: that of the calling thread.

        Raises:
            StreamcamError: the device or the model failed; the frames are not settled.
        """
        optics = [shot.optic for shot in shots if shot.optic is not None]
        kernels = optics[0].kernels
        replica = kernels.on(device, len(shots))
        frames = tuple(
            replace(shot.frame, pixels=scaler(optic)(shot.frame.picture))
            for shot, optic in zip(shots, optics, strict=True)
        )
        began = time.monotonic()
        (worker,) = kernels.explainer.workers((replica,), self._clock, say=self._once)
        _, explained = worker(frames)
        kernels.took(len(shots), time.monotonic() - began)
        for trouble in kernels.explainer.troubles:
            self._once(trouble.partition(": ")[2])
        kernels.explainer.troubles.clear()
        for shot, seen in zip(shots, explained, strict=True):
            shot.settle(seen)

    def _ask(self, done: Future[Any], work: Callable[[], Any]) -> None:
        """Has something done by `run`."""

        def fulfil() -> None:
            if self._stopped:
                done.set_exception(StreamcamError("the run has ended"))
                return
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        with self._changed:
            if not self._stopped:
                self._work.append(fulfil)
                self._changed.notify_all()
                return
        fulfil()

    def _make_first(self, info: SourceInfo) -> None:
        state = self._state
        assert state is not None
        first = not state.optics
        self.busy = self.busy or f"compiling for {info.width}x{info.height}"
        try:
            self._make(state, info)
        except StreamcamError as error:
            if first:
                raise
            self._once(f"{info.name} is shown without maps: {error}")
            with self._changed:
                self._blind.add(_kind(info))
                self._changed.notify_all()

    def _make(self, state: _State, info: SourceInfo) -> None:
        """Makes ready what looks at one kind of picture: one at a time first, larger batches later."""
        view = state.explainer.view(info, batch=1)
        size = view.geometry.input
        if size not in state.kernels:
            state.kernels[size] = Kernels(state.explainer, size)
            state.kernels[size].add(1, view.all_replicas)
            with self._changed:
                self._work.extend(functools.partial(self._add, state, info, n) for n in self._larger(state))
        state.layer, state.precision = view.kernel.layer, view.kernel.precision
        optic = Optic(
            kernels=state.kernels[size],
            geometry=view.geometry,
            colour=info.colour,
            detail=view.detail(state.explainer.method),
            display=state.explainer.display,
            targets=len(state.explainer.targets),
        )
        with self._changed:
            state.optics = {**state.optics, _kind(info): optic}
            self._changed.notify_all()
        self.busy = ""
        for note in view.notes:
            self._once(note)

    def _larger(self, state: _State) -> list[int]:
        largest = self._explain.batch or (
            AT_MOST if any(not name.startswith("cpu") for name in state.explainer.devices) else self._cameras
        )
        largest = min(largest, AT_MOST)
        return sorted({largest, *(2**n for n in range(1, 4) if 2**n <= largest)} - {0, 1})

    def _add(self, state: _State, info: SourceInfo, batch: int) -> None:
        if state is not self._state:
            return
        try:
            view = state.explainer.view(info, batch=batch)
        except StreamcamError as error:
            self._once(f"no more than {batch - 1} frames at once: {error}")
            return
        state.kernels[view.geometry.input].add(batch, view.all_replicas)

    def _exchange(self, explain: dict[str, Any]) -> None:
        before = self._state
        assert before is not None
        self.busy = f"compiling {explain.get('method', before.explainer.method)}"
        state = _State(before.explainer.changed(**explain))
        for info in list(self._wanted.values()):
            self._make(state, info)
        self._explain, self._state = replace(self._explain, **explain), state
        before.explainer.forget()

    def _surveyed(self) -> tuple[str, ...]:
        assert self._state is not None
        self.busy = "looking at the layers"
        self._layers = self._layers or self._state.explainer.layers()
        return self._layers

    def _once(self, line: str) -> None:
        """Says what is to be said once in a run that has no end."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _kind(info: SourceInfo) -> _Kind:
    return info.width, info.height, info.pixel_aspect, info.colour


def at_work(
    lens: Lens,
    device: str,
    take: Callable[[], tuple[Shot, ...]],
    failed: Callable[[str, StreamcamError], None],
) -> None:
    """A thread's life in a device's service.

    Args:
        lens: what looks.
        device: where.
        take: the next frames; raises `Cancelled` in the end.
        failed: told when the device has failed; it is not used again.
    """
    from ..sources.scale import Scaler

    scalers: dict[tuple[Geometry, Colour], Scaler] = {}

    def scaler(optic: Optic) -> Scaler:
        key = optic.geometry, optic.colour
        if key not in scalers:
            scalers[key] = Scaler(*key)
        return scalers[key]

    while True:
        shots = take()
        try:
            lens.look(device, shots, scaler)
        except StreamcamError as error:
            for shot in shots:
                shot.settle(None)
            failed(device, error)
            raise Cancelled from None
