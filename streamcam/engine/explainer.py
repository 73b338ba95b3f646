"""Frames in, explained frames out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..concurrency.group import StageTimer
from ..errors import DeviceError, ModelError, OptionError
from ..frames import Attribution, Batch, ExplainedFrame, Frame, MapKind, SourceInfo
from ..geometry import Fit, Geometry, Size
from ..geometry import fit_to_input as fitted
from ..methods import load_method, method_display, method_name
from ..models import LoadedModel, ModelInfo, load_model, parse_target
from ..options import ExplainOptions, ModelOptions
from .compiled_method import INPUT_LAYER, BatchResult, Executable, FrozenMethod, compile_method, survey_model
from .multi_pass import Progress
from .runtime.autotune import AUTO_BATCH, DEFAULT_BATCH, autotune
from .runtime.compile_cache import CompileCache, TunedMethod
from .runtime.devices import resolve_devices
from .runtime.frozen_graph import CONCURRENT_BATCHES
from .runtime.replica import DeviceReplica

MIN_FRAMES_TO_TUNE_BATCH = 1000
"""Frames from which on looking for the fastest batch is worth the seconds it takes, once."""

_MAX_PREPARED_SIZES = 2
"""Views that are kept: each holds a copy of the model's weights and its working memory on each device."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSource:
    """How the model looks at one source.

    Attributes:
        geometry: of its pictures.
        all_replicas: a kernel made for it on each device.
        notes: what the user is to be told.
    """

    geometry: Geometry
    all_replicas: tuple[DeviceReplica, ...]
    notes: tuple[str, ...] = ()

    @property
    def replicas(self) -> tuple[DeviceReplica, ...]:
        """Those that have not failed."""
        return tuple(replica for replica in self.all_replicas if not replica.failed)

    @property
    def executable(self) -> Executable:
        """That of the first device that has not failed."""
        return (self.replicas or self.all_replicas)[0].executable

    @property
    def concurrency(self) -> int:
        """How many threads keep a device busy."""
        return CONCURRENT_BATCHES

    @property
    def device(self) -> str:
        """Where it runs, as ``--device`` takes it."""
        return ",".join(replica.device for replica in self.replicas)

    def caption_detail(self, method: str) -> str:
        """What makes the evidence, in a few words: the method, and the layer where it has one."""
        return method if self.executable.layer == INPUT_LAYER else f"{method} · {self.executable.layer}"


ExplainedBatch: TypeAlias = tuple[Batch, tuple[ExplainedFrame, ...]]
"""A batch, and what the model says of those of its frames that have pixels."""


_LoadedReplicas: TypeAlias = tuple[tuple[DeviceReplica, ...], tuple[str, ...]]


class FrameExplainer:
    """A model with a method, ready to look at any number of sources, one after another.

    Kernels are compiled for each input size and batch once, and kept on this machine where they can be told again:
    then the model itself is not loaded. Use it from one thread at a time; the `workers` it gives have their own.

    Attributes:
        info: what is known of the model.
        notes: one-line announcements for the user; grows as kernels are made.
        frame_errors: what went wrong with single frames since the last `prepare`.
        quality_metrics: the largest of each figure by which the method tells the quality of its maps, since the last `prepare`.
        devices: where it computes.
        display: how the method's maps are shown.
    """

    def __init__(
        self,
        model: ModelOptions,
        explain: ExplainOptions,
        cache: CompileCache | None = None,
        *,
        share_model_with: FrameExplainer | None = None,
    ) -> None:
        """Looks at the model; ``share_model_with`` has the same one loaded already.

        Raises:
            ModelError, MethodError, TargetError, DeviceError, OptionError: what was asked for cannot be had.
        """
        self.devices = resolve_devices(explain.device)
        self._model_options, self._options = model, explain
        self._method = load_method(explain.method, explain.params)
        self.display: MapKind = method_display(explain.method)
        self._cache = cache or CompileCache()
        # Before the model is loaded: what is kept of it must never be named after a file that has changed since.
        self._model_key: str = (
            share_model_with._model_key if share_model_with else self._cache.cache_key("model", model)
        )
        self._model_owner: FrameExplainer | None = (
            (share_model_with._model_owner or share_model_with) if share_model_with else None
        )
        cached_info = share_model_with.info if share_model_with else self._cache.get_info(self._model_key)
        self.info: ModelInfo = cached_info or self.loaded
        if cached_info is None:
            self._cache.put_info(self._model_key, self.info)
        if model.fit == "native" and not self.info.accepts_any_size:
            raise OptionError(
                f"--fit native needs a model that takes any size; {self.info.name} takes "
                f"{self.info.input_size[0]}x{self.info.input_size[1]}",
                hint="use --fit stretch, crop or letterbox",
            )
        self._fit: Fit
        if model.fit == "auto":
            self._fit = "native" if self.info.accepts_any_size else "stretch"
        else:
            self._fit = model.fit
        self.targets = tuple(parse_target(self.info.labels, target) for target in explain.target)
        self.notes: list[str] = list(self.info.notes)
        self._prepared: dict[tuple[Size, int], _LoadedReplicas] = {}
        self.frame_errors: list[str] = []
        self.quality_metrics: dict[str, float] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def loaded(self) -> LoadedModel:
        """The model itself, loaded when it is first needed.

        Raises:
            ModelError: it cannot be loaded, or its file has changed since this object was made.
        """
        if self._model_owner is not None:
            return self._model_owner.loaded
        if self._cache.cache_key("model", self._model_options) != self._model_key:
            raise ModelError(f"{self.info.name} has changed on the disk since it was looked at", hint="start again")
        loaded = load_model(self._model_options)
        if self._cache.cache_key("model", self._model_options) != self._model_key:
            self._model_key = ""
        return loaded

    def with_options(self, **explain: Any) -> FrameExplainer:
        """The same model with other `ExplainOptions`, given by name; it is not loaded again.

        Raises:
            MethodError, TargetError, DeviceError, OptionError: what was asked for cannot be had.
        """
        return FrameExplainer(
            self._model_options, replace(self._options, **explain), self._cache, share_model_with=self
        )

    def drop_executables(self) -> None:
        """Lets go of its kernels, which live on with whoever uses them."""
        self._prepared.clear()

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return method_name(self._options.method)

    def geometry(self, info: SourceInfo, *, fit: Fit | None = None) -> Geometry:
        """How a source's pictures are fitted into the model's input; ``fit`` overrules the option's."""
        return fitted(fit or self._fit, (info.width, info.height), self.info.input_size, pixel_aspect=info.pixel_aspect)

    def prepare(self, info: SourceInfo, *, every: int = 1, fit: Fit | None = None, batch: int = 0) -> PreparedSource:
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
        self.frame_errors, self.quality_metrics = [], {}
        geometry = self.geometry(info, fit=fit)
        num_explained = None if info.num_frames is None else -(-info.num_frames // every)
        if batch:
            return PreparedSource(geometry, *self._load_replicas(geometry.input, batch, exact=True))
        is_long = num_explained >= MIN_FRAMES_TO_TUNE_BATCH if num_explained is not None else not info.live
        if self._options.batch == 0 and every == 1 and is_long:
            batch = AUTO_BATCH
        else:
            batch = self._options.batch or max(1, DEFAULT_BATCH // every)
            batch = batch if num_explained is None else max(1, min(batch, num_explained))
        return PreparedSource(geometry, *self._load_replicas(geometry.input, batch))

    def _load_replicas(self, size: Size, batch: int, *, exact: bool = False) -> _LoadedReplicas:
        """A replica on each device, and what is to be said of them."""
        for (prepared_size, prepared_batch), (replicas, notes) in self._prepared.items():
            large_enough = not (self._options.batch or exact) and replicas[0].executable.batch >= batch > 0
            working = not all(replica.failed for replica in replicas)
            if prepared_size == size and working and (prepared_batch == batch or large_enough):
                return replicas, notes
        tuned = self._get_tuned_method(size, batch)
        method = tuned.method
        messages: list[str] = []
        loaded: list[DeviceReplica] = []
        for device in self.devices:
            try:
                replica = DeviceReplica(
                    method.load(device, tuned.precision, xla=tuned.xla), self._make_rebuilder(tuned)
                )
                replica.warm_up(messages.append)
            except (DeviceError, ModelError) as error:
                if device == self.devices[-1] and not loaded:
                    raise
                messages.append(f"{device} is out: {error}")
            else:
                loaded.append(replica)
        notes = tuple(
            line for line in (*self.info.notes, *tuned.notes, *method.notes, method.layer_summary, *messages) if line
        )
        self.notes.extend(line for line in notes if line not in self.notes)
        while len(self._prepared) >= _MAX_PREPARED_SIZES:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[size, batch] = tuple(loaded), notes
        return self._prepared[size, batch]

    def _get_tuned_method(self, size: Size, batch: int) -> TunedMethod:
        """The plan for one size, with everything that is chosen by comparing or measuring; from the store if it can."""
        key = self._method_key(size, batch)
        tuned = self._cache.get_method(key)
        if tuned is None:
            tuned = autotune(
                lambda batch: self._compile_method(size, batch),
                batch,
                requested=self._options.precision,
                devices=self.devices,
            )
            self._cache.put_method(self._method_key(size, batch), tuned)
        return tuned

    def _method_key(self, size: Size, batch: int) -> str:
        return (
            self._cache.cache_key("plan", self._model_key, self._options, self.devices, size, batch)
            if self._model_key
            else ""
        )

    def _make_rebuilder(self, tuned: TunedMethod) -> Callable[[Executable, int], Executable]:
        def rebuild_smaller(executable: Executable, batch: int) -> Executable:
            with self._lock:
                method = self._compile_method(executable.size, batch)
            return method.load(executable.device, tuned.precision, xla=tuned.xla)

        return rebuild_smaller

    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that can be explained, from the input on; loads the model where that was not needed yet.

        Raises:
            ModelError: it cannot be loaded or run.
        """
        rows = survey_model(self.loaded, self.info.input_size)
        return tuple(row.path for row in rows if row.usable)

    def _compile_method(self, size: Size, batch: int) -> FrozenMethod:
        return compile_method(
            self.loaded,
            self._method,
            layer=self._options.layer,
            targets=self.targets,
            size=size,
            batch=batch,
            passes_per_run=self._options.batch or DEFAULT_BATCH,
        )

    def workers(
        self,
        replicas: Sequence[DeviceReplica],
        timer: StageTimer,
        progress: Progress | None = None,
        on_note: Callable[[str], None] = lambda line: None,
    ) -> tuple[Callable[[Batch], ExplainedBatch], ...]:
        """What explains batches on each device, for `View.threads` threads each.

        Args:
            replicas: as from `View.replicas`.
            timer: told how long they are busy, as ``model``.
            progress: called with passes done and passes in all, for methods of many; in the worker's thread.
            on_note: told what the user should know at once.
        """

        def make_worker(replica: DeviceReplica) -> Callable[[Batch], ExplainedBatch]:
            def explain_batch(batch: Batch) -> ExplainedBatch:
                frames = [frame for frame in batch if frame.model_input is not None]
                pixels = [frame.model_input for frame in batch if frame.model_input is not None]
                if not frames:
                    return batch, ()
                with timer("model"):
                    result = replica(np.stack(pixels), progress, on_note)
                return batch, self._make_explained_frames(frames, result)

            return explain_batch

        return tuple(make_worker(replica) for replica in replicas)

    def explain(self, batches: Iterable[ExplainedBatch]) -> Iterator[ExplainedFrame]:
        """The frames one by one; those that the model did not look at hold what was seen before them.

        Frames before the first one with pixels cannot be explained; the road always looks at the first.
        """
        last: ExplainedFrame | None = None
        for batch, explained in batches:
            results = iter(explained)
            for frame in batch:
                if frame.model_input is not None:
                    last = next(results)
                elif last is not None:
                    last = replace(last, frame=frame, held=True)
                if last is not None:
                    yield last

    def _make_explained_frames(self, frames: list[Frame], result: BatchResult) -> tuple[ExplainedFrame, ...]:
        frame_errors = [
            f"frame {frame.index}: {problem}; nothing is drawn"
            for n, frame in enumerate(frames)
            if (problem := non_finite_reason(result, n))
        ]
        with self._lock:
            self.frame_errors.extend(frame_errors)
            for name, values in result.quality_metrics.items():
                self.quality_metrics[name] = max(
                    self.quality_metrics.get(name, 0.0), float(np.nanmax(values, initial=0.0))
                )
        return tuple(
            ExplainedFrame(
                # The pixels have served; letting go of them keeps the queues light.
                frame=replace(frame, model_input=None),
                attributions=self.make_attributions(result, n),
                top=tuple(
                    (int(c), float(p)) for c, p in zip(result.top_classes[n], result.top_probabilities[n], strict=True)
                ),
            )
            for n, frame in enumerate(frames)
        )

    def make_attributions(self, result: BatchResult, n: int) -> tuple[Attribution, ...]:
        """What a look says of its ``n``-th picture, for each target.

        Where `non_finite_reason` the map is zeros.
        """
        return tuple(self._make_attribution(result, n, t) for t in range(len(self.targets)))

    def _make_attribution(self, result: BatchResult, n: int, t: int) -> Attribution:
        heatmap, score = result.maps[n, t], float(result.scores[n, t])
        if not (np.isfinite(heatmap).all() and np.isfinite(score)):
            heatmap = np.zeros_like(heatmap)
        index = int(result.classes[n, t])
        has_class = index >= 0
        return Attribution(
            heatmap=heatmap,
            label=self.info.labels[index] if has_class else self.targets[t].label,
            score=score,
            probability=float(result.probabilities[n, t]) if has_class else None,
            class_index=index if has_class else None,
        )


def non_finite_reason(result: BatchResult, n: int) -> str:
    """What is not a number in what a look says of its ``n``-th picture; empty where all is well."""
    if not np.isfinite(result.scores[n]).all():
        return "the model's answer is not a number"
    return "" if np.isfinite(result.maps[n]).all() else "the method's map is not a number"
