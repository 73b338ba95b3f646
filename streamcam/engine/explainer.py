"""Frames in, explained frames out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..config import ExplainOptions, ModelOptions
from ..errors import DeviceError, ModelError, OptionError
from ..flow import StageClock
from ..frames import Batch, Display, Evidence, Explained, Frame, SourceInfo
from ..geometry import Fit, Geometry, Size
from ..geometry import fit as fitted
from ..methods import load_method, method_display, method_name
from ..models import LoadedModel, ModelInfo, load_model, parse_target
from .devices import choose_devices
from .kernel import INPUT, Kernel, Look, Plan, plan_kernel, trace_layers
from .program import AT_ONCE
from .replica import Replica
from .settle import DEFAULT_BATCH, SWEEP, settle
from .steps import Progress
from .store import Settled, Store

WORTH_A_SWEEP = 1000
"""Frames from which on looking for the fastest batch is worth the seconds it takes, once."""

_VIEWS = 2
"""Views that are kept: each holds a copy of the model's weights and its working memory on each device."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How the model looks at one source.

    Attributes:
        geometry: of its pictures.
        all_replicas: a kernel made for it on each device.
        notes: what the user is to be told.
    """

    geometry: Geometry
    all_replicas: tuple[Replica, ...]
    notes: tuple[str, ...] = ()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that have not failed."""
        return tuple(replica for replica in self.all_replicas if not replica.out)

    @property
    def kernel(self) -> Kernel:
        """That of the first device that has not failed."""
        return (self.replicas or self.all_replicas)[0].kernel

    @property
    def threads(self) -> int:
        """How many threads keep a device busy."""
        return AT_ONCE

    @property
    def device(self) -> str:
        """Where it runs, as ``--device`` takes it."""
        return ",".join(replica.device for replica in self.replicas)

    def detail(self, method: str) -> str:
        """What makes the evidence, in a few words: the method, and the layer where it has one."""
        return method if self.kernel.layer == INPUT else f"{method} · {self.kernel.layer}"


Looked: TypeAlias = tuple[Batch, tuple[Explained, ...]]
"""A batch, and what the model says of those of its frames that have pixels."""


_Compiled: TypeAlias = tuple[tuple[Replica, ...], tuple[str, ...]]


class StreamExplainer:
    """A model with a method, ready to look at any number of sources, one after another.

    Kernels are compiled for each input size and batch once, and kept on this machine where they can be told again:
    then the model itself is not loaded. Use it from one thread at a time; the `workers` it gives have their own.

    Attributes:
        info: what is known of the model.
        notes: one-line announcements for the user; grows as kernels are made.
        troubles: what went wrong with single frames since the last `view`.
        figures: the largest of each figure by which the method tells the quality of its maps, since the last `view`.
        devices: where it computes.
        display: how the method's maps are shown.
    """

    def __init__(
        self,
        model: ModelOptions,
        explain: ExplainOptions,
        store: Store | None = None,
        *,
        like: StreamExplainer | None = None,
    ) -> None:
        """Looks at the model; ``like`` has the same one loaded already.

        Raises:
            ModelError, MethodError, TargetError, DeviceError, OptionError: what was asked for cannot be had.
        """
        self.devices = choose_devices(explain.device)
        self._model_options, self._options = model, explain
        self._method = load_method(explain.method, explain.params)
        self.display: Display = method_display(explain.method)
        self._store = store or Store()
        # Before the model is loaded: what is kept of it must never be named after a file that has changed since.
        self._key: str = like._key if like else self._store.key("model", model)
        self._like: StreamExplainer | None = (like._like or like) if like else None
        known = like.info if like else self._store.info(self._key)
        self.info: ModelInfo = known or self.loaded
        if known is None:
            self._store.keep_info(self._key, self.info)
        if model.fit == "native" and not self.info.flexible:
            raise OptionError(
                f"--fit native needs a model that takes any size; {self.info.name} takes "
                f"{self.info.input_size[0]}x{self.info.input_size[1]}",
                do="use --fit stretch, crop or letterbox",
            )
        self._fit: Fit
        if model.fit == "auto":
            self._fit = "native" if self.info.flexible else "stretch"
        else:
            self._fit = model.fit
        self.targets = tuple(parse_target(self.info.labels, target) for target in explain.target)
        self.notes: list[str] = list(self.info.notes)
        self._views: dict[tuple[Size, int], _Compiled] = {}
        self.troubles: list[str] = []
        self.figures: dict[str, float] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def loaded(self) -> LoadedModel:
        """The model itself, loaded when it is first needed.

        Raises:
            ModelError: it cannot be loaded, or its file has changed since this object was made.
        """
        if self._like is not None:
            return self._like.loaded
        if self._store.key("model", self._model_options) != self._key:
            raise ModelError(f"{self.info.name} has changed on the disk since it was looked at", do="start again")
        loaded = load_model(self._model_options)
        if self._store.key("model", self._model_options) != self._key:
            self._key = ""
        return loaded

    def changed(self, **explain: Any) -> StreamExplainer:
        """The same model with other `ExplainOptions`, given by name; it is not loaded again.

        Raises:
            MethodError, TargetError, DeviceError, OptionError: what was asked for cannot be had.
        """
        return StreamExplainer(self._model_options, replace(self._options, **explain), self._store, like=self)

    def forget(self) -> None:
        """Lets go of its kernels, which live on with whoever uses them."""
        self._views.clear()

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return method_name(self._options.method)

    def geometry(self, info: SourceInfo, *, fit: Fit | None = None) -> Geometry:
        """How a source's pictures are fitted into the model's input; ``fit`` overrules the option's."""
        return fitted(fit or self._fit, (info.width, info.height), self.info.input_size, pixel_aspect=info.pixel_aspect)

    def view(self, info: SourceInfo, *, every: int = 1, fit: Fit | None = None, batch: int = 0) -> View:
        """Compiles what is needed to look at a source (takes seconds the first time).

        The batch shrinks for sources of fewer frames, and where only every N-th frame is explained, so that
        neither padding nor waiting frames cost anything. For long sources the fastest of several is looked for, once.

        Args:
            info: the source.
            every: one in so many of its frames is explained.
            fit: overrules the option's.
            batch: frames a call, no more and no fewer; 0 chooses.

        Raises:
            LayerError, ModelError: the model cannot be explained as asked for.
        """
        self.troubles, self.figures = [], {}
        geometry = self.geometry(info, fit=fit)
        looks = None if info.frames is None else -(-info.frames // every)
        if batch:
            return View(geometry, *self._compiled(geometry.input, batch, exactly=True))
        many = looks >= WORTH_A_SWEEP if looks is not None else not info.live
        if self._options.batch == 0 and every == 1 and many:
            batch = SWEEP
        else:
            batch = self._options.batch or max(1, DEFAULT_BATCH // every)
            batch = batch if looks is None else max(1, min(batch, looks))
        return View(geometry, *self._compiled(geometry.input, batch))

    def _compiled(self, size: Size, batch: int, *, exactly: bool = False) -> _Compiled:
        """A replica on each device, and what is to be said of them."""
        for (known_size, known), (replicas, notes) in self._views.items():
            large_enough = not (self._options.batch or exactly) and replicas[0].kernel.batch >= batch > 0
            working = not all(replica.out for replica in replicas)
            if known_size == size and working and (known == batch or large_enough):
                return replicas, notes
        settled = self._settled(size, batch)
        plan = settled.plan
        said: list[str] = []
        started: list[Replica] = []
        for device in self.devices:
            try:
                replica = Replica(plan.start(device, settled.precision, xla=settled.xla), self._smaller(settled))
                replica.warm_up(said.append)
            except (DeviceError, ModelError) as error:
                if device == self.devices[-1] and not started:
                    raise
                said.append(f"{device} is out: {error}")
            else:
                started.append(replica)
        notes = tuple(line for line in (*self.info.notes, *settled.notes, *plan.notes, plan.told, *said) if line)
        self.notes.extend(line for line in notes if line not in self.notes)
        while len(self._views) >= _VIEWS:
            del self._views[next(iter(self._views))]
        self._views[size, batch] = tuple(started), notes
        return self._views[size, batch]

    def _settled(self, size: Size, batch: int) -> Settled:
        """The plan for one size, with everything that is chosen by comparing or measuring; from the store if it can."""
        key = self._plan_key(size, batch)
        settled = self._store.settled(key)
        if settled is None:
            settled = settle(
                lambda batch: self._plan(size, batch),
                batch,
                wanted=self._options.precision,
                devices=self.devices,
            )
            self._store.keep_settled(self._plan_key(size, batch), settled)
        return settled

    def _plan_key(self, size: Size, batch: int) -> str:
        return self._store.key("plan", self._key, self._options, self.devices, size, batch) if self._key else ""

    def _smaller(self, settled: Settled) -> Callable[[Kernel, int], Kernel]:
        def smaller(kernel: Kernel, batch: int) -> Kernel:
            with self._lock:
                plan = self._plan(kernel.size, batch)
            return plan.start(kernel.device, settled.precision, xla=settled.xla)

        return smaller

    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that can be explained, from the input on; loads the model where that was not needed yet.

        Raises:
            ModelError: it cannot be loaded or run.
        """
        rows = trace_layers(self.loaded, self.info.input_size)
        return tuple(row.path for row in rows if row.usable)

    def _plan(self, size: Size, batch: int) -> Plan:
        return plan_kernel(
            self.loaded,
            self._method,
            layer=self._options.layer,
            targets=self.targets,
            size=size,
            batch=batch,
            rows=self._options.batch or DEFAULT_BATCH,
        )

    def workers(
        self,
        replicas: Sequence[Replica],
        clock: StageClock,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> tuple[Callable[[Batch], Looked], ...]:
        """What explains batches on each device, for `View.threads` threads each.

        Args:
            replicas: as from `View.replicas`.
            clock: told how long they are busy, as ``model``.
            progress: called with passes done and passes in all, for methods of many; in the worker's thread.
            say: told what the user should know at once.
        """

        def worker(replica: Replica) -> Callable[[Batch], Looked]:
            def look(batch: Batch) -> Looked:
                frames = [frame for frame in batch if frame.pixels is not None]
                pixels = [frame.pixels for frame in batch if frame.pixels is not None]
                if not frames:
                    return batch, ()
                with clock("model"):
                    found = replica(np.stack(pixels), progress, say)
                return batch, self._told(frames, found)

            return look

        return tuple(worker(replica) for replica in replicas)

    def explain(self, looked: Iterable[Looked]) -> Iterator[Explained]:
        """The frames one by one; those that the model did not look at hold what was seen before them.

        Frames before the first one with pixels cannot be explained; the road always looks at the first.
        """
        last: Explained | None = None
        for batch, seen in looked:
            looks = iter(seen)
            for frame in batch:
                if frame.pixels is not None:
                    last = next(looks)
                elif last is not None:
                    last = replace(last, frame=frame, held=True)
                if last is not None:
                    yield last

    def _told(self, frames: list[Frame], look: Look) -> tuple[Explained, ...]:
        troubles = [
            f"frame {frame.index}: {trouble}; nothing is drawn"
            for n, frame in enumerate(frames)
            if (trouble := troubled(look, n))
        ]
        with self._lock:
            self.troubles.extend(troubles)
            for name, values in look.figures.items():
                self.figures[name] = max(self.figures.get(name, 0.0), float(np.nanmax(values, initial=0.0)))
        return tuple(
            Explained(
                # The pixels have served; letting go of them keeps the queues light.
                frame=replace(frame, pixels=None),
                evidence=self.evidence(look, n),
                top=tuple(
                    (int(c), float(p)) for c, p in zip(look.top_classes[n], look.top_probabilities[n], strict=True)
                ),
            )
            for n, frame in enumerate(frames)
        )

    def evidence(self, look: Look, n: int) -> tuple[Evidence, ...]:
        """What a look says of its ``n``-th picture, for each target.

        Where `troubled` the map is zeros.
        """
        return tuple(self._evidence(look, n, t) for t in range(len(self.targets)))

    def _evidence(self, look: Look, n: int, t: int) -> Evidence:
        heatmap, score = look.maps[n, t], float(look.scores[n, t])
        if not (np.isfinite(heatmap).all() and np.isfinite(score)):
            heatmap = np.zeros_like(heatmap)
        index = int(look.classes[n, t])
        known = index >= 0
        return Evidence(
            heatmap=heatmap,
            label=self.info.labels[index] if known else self.targets[t].label,
            score=score,
            probability=float(look.probabilities[n, t]) if known else None,
            target=index if known else None,
        )


def troubled(look: Look, n: int) -> str:
    """What is not a number in what a look says of its ``n``-th picture; empty where all is well."""
    if not np.isfinite(look.scores[n]).all():
        return "the model's answer is not a number"
    return "" if np.isfinite(look.maps[n]).all() else "the method's map is not a number"
