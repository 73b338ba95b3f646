"""Load and compile a model with a method, and explain frames."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from ..concurrency.group import StageTimer
from ..errors import DeviceError, ModelError, OptionError
from ..frames import Batch, MapKind, RgbImage, SourceInfo
from ..geometry import Geometry, Size, fit_to_input
from ..methods import load_method, method_map_kind, method_name
from ..models import LoadedModel, ModelInfo, TargetSet, load_model
from ..options import ExplainOptions, Fit, ModelOptions
from .compile import compile_method, survey_model
from .compiled_method import Executable, FrozenMethod
from .frame_worker import frame_worker
from .multi_pass import Progress
from .prepared_source import PreparedSource
from .preprocess_check import FirstFramesCheck, check_preprocessing
from .results import ExplainedBatch
from .runtime.autotune import AUTO_BATCH, DEFAULT_BATCH, autotune
from .runtime.background_xla import BackgroundXla, compile_in_background
from .runtime.compile_cache import CompileCache, TunedMethod
from .runtime.devices import resolve_devices
from .runtime.replica import DevicePool, DeviceReplica

MIN_FRAMES_TO_TUNE_BATCH = 1000
"""Number of frames from which measuring the fastest batch is worth the seconds it takes, once."""

_MAX_PREPARED_SIZES = 2
"""Compiled sizes kept: each holds a copy of the weights and its working memory on each device."""

_LoadedReplicas: TypeAlias = tuple[tuple[DeviceReplica, ...], tuple[str, ...], BackgroundXla | None]


class FrameExplainer:
    """A model with a method that explains sources, one after another.

    The method is compiled once for each input size and batch, and cached on this machine if its inputs have a
    fingerprint; a run with a cached method does not load the model. Use it from one thread at a time; its `workers`
    have their own.

    Attributes:
        info: properties of the model.
        pool: its devices, shared with explainers made by `with_options` for the same ones.
        map_kind: how the method's maps are drawn.
        target_set, targets: the explained targets.
    """

    def __init__(
        self,
        model: ModelOptions,
        explain: ExplainOptions,
        cache: CompileCache | None = None,
        *,
        share_model_with: FrameExplainer | None = None,
        threads_yield: bool = True,
    ) -> None:
        """Read the model's properties; ``share_model_with`` has the same model loaded already.

        ``threads_yield`` is as for `load_explainer`; an explainer that shares its model has that of the other one.

        Raises:
            ModelError, MethodError, TargetError, DeviceError, OptionError: an option cannot be used.
        """
        devices = resolve_devices(explain.device)
        pool = share_model_with.pool if share_model_with else DevicePool(devices, threads_yield=threads_yield)
        self.pool: DevicePool = (
            pool if pool.devices == devices else DevicePool(devices, threads_yield=pool.threads_yield)
        )
        self._model_options, self._options = model, explain
        self._method = load_method(explain.method, explain.params)
        self.map_kind: MapKind = method_map_kind(explain.method)
        self._cache = cache or CompileCache()
        # Compute the cache key before the model loads: its file may change meanwhile.
        self._model_key: str = (
            share_model_with._model_key if share_model_with else self._cache.cache_key("model", model)
        )
        self._model_owner: FrameExplainer | None = (
            (share_model_with._model_owner or share_model_with) if share_model_with else None
        )
        self._first_frames = FirstFramesCheck()
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
        self._fit: Fit = "native" if self.info.accepts_any_size else "stretch"
        if model.fit != "auto":
            self._fit = model.fit
        self.target_set = TargetSet(self.info.labels, explain.target)
        self.targets = self.target_set.targets
        self._prepared: dict[tuple[Size, int], _LoadedReplicas] = {}
        self._lock = threading.Lock()
        # Classes and contrasts are known at run time only.
        self._compile_options = replace(explain, target=("top",)), self.target_set.compiled_in
        if share_model_with and share_model_with._compile_options == self._compile_options:
            self._prepared, self._lock = share_model_with._prepared, share_model_with._lock

    @functools.cached_property
    def loaded(self) -> LoadedModel:
        """The model itself, loaded on first use.

        Raises:
            ModelError: it cannot be loaded, or its file has changed since this object was made.
        """
        if self._model_owner is not None:
            return self._model_owner.loaded
        if self._cache.cache_key("model", self._model_options) != self._model_key:
            raise ModelError(f"{self.info.name} has changed on disk since it was read", hint="start again")
        loaded = check_preprocessing(load_model(self._model_options))
        if self._cache.cache_key("model", self._model_options) != self._model_key:
            self._model_key = ""
        return loaded

    def with_options(self, **explain: Any) -> FrameExplainer:
        """Return an explainer of the same model with other options; the model is not loaded again.

        Args:
            **explain: fields of `ExplainOptions`; other classes or contrasts compile nothing.

        Raises:
            MethodError, TargetError, DeviceError, OptionError: an option cannot be used.
        """
        return FrameExplainer(
            self._model_options, replace(self._options, **explain), self._cache, share_model_with=self
        )

    def shares_executables(self, other: FrameExplainer) -> bool:
        """Return True if this explainer uses the compiled methods of another one."""
        return self._prepared is other._prepared

    def drop_executables(self) -> None:
        """Drop the compiled methods; those in use, and those of an explainer that shares them, live on."""
        self._prepared = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """One-line announcements on the model and its prepared input sizes."""
        prepared = [line for _, notes, _ in list(self._prepared.values()) for line in notes]
        return tuple(dict.fromkeys((*self.info.notes, *prepared)))

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return method_name(self._options.method)

    def geometry(self, info: SourceInfo, *, fit: Fit | None = None) -> Geometry:
        """Return how a source's frames are fitted into the model's input; ``fit`` overrides the option."""
        return fit_to_input(
            fit or self._fit, (info.width, info.height), self.info.input_size, pixel_aspect=info.pixel_aspect
        )

    def prepare(
        self, info: SourceInfo, *, every: int = 1, fit: Fit | None = None, batch: int = 0, one_compiler: bool = False
    ) -> PreparedSource:
        """Compile the method for a source; takes seconds the first time.

        The batch shrinks for sources of fewer frames, and if only every N-th frame is explained, so that neither
        padding nor waiting frames cost time. For long sources the fastest of several batches is measured, once.

        Args:
            info: the source.
            every: one frame in ``every`` is explained.
            fit: overrides the option.
            batch: frames a call, exactly; 0 chooses.
            one_compiler: True if XLA may not replace the graph for this source, so that its maps can be made again.

        Raises:
            LayerError, ModelError: the model cannot be explained with these options.
        """
        geometry, exact = self.geometry(info, fit=fit), batch > 0
        num_explained = None if info.num_frames is None else -(-info.num_frames // every)
        is_long = num_explained >= MIN_FRAMES_TO_TUNE_BATCH if num_explained is not None else not info.live
        if self._options.batch == 0 and every == 1 and is_long and not exact:
            batch = AUTO_BATCH
        elif not exact:
            batch = self._options.batch or max(1, DEFAULT_BATCH // every)
            batch = batch if num_explained is None else max(1, min(batch, num_explained))
        replicas, notes, xla = self._load_replicas(geometry.input, batch, exact=exact)
        # Several targets run in parts, which XLA does not compile.
        if xla is not None and not info.is_image and not one_compiler and len(self.targets) == 1:
            xla.expect(num_explained)
        return PreparedSource(geometry, replicas, self.pool, notes, xla)

    def _load_replicas(self, size: Size, batch: int, *, exact: bool = False) -> _LoadedReplicas:
        """Return a replica on each device, and notes for the user."""
        for (prepared_size, prepared_batch), (replicas, notes, xla) in self._prepared.items():
            large_enough = not (self._options.batch or exact) and replicas[0].executable.batch >= batch > 0
            working = any(self.pool.is_active(replica.device) for replica in replicas)
            if prepared_size == size and working and (prepared_batch == batch or large_enough):
                return replicas, notes, xla
        tuned = self._get_tuned_method(size, batch)
        method = tuned.method
        loaded: list[DeviceReplica] = []
        errors: dict[str, DeviceError | ModelError] = {}
        for device in self.pool.active:
            try:
                replica = DeviceReplica(self._load(method, device, tuned), self._make_rebuilder(tuned))
                replica.warm_up()
            except (DeviceError, ModelError) as error:
                errors[device] = error
            else:
                loaded.append(replica)
        if not loaded:  # not the devices' fault: a smaller source may still run on all of them
            raise list(errors.values())[-1]
        for device, cause in errors.items():
            self.pool.disable(device, cause)
        notes = tuple(line for line in (*self.info.notes, *tuned.notes, *method.notes, method.layer_summary) if line)
        while len(self._prepared) >= _MAX_PREPARED_SIZES:
            del self._prepared[next(iter(self._prepared))]
        xla = compile_in_background(loaded, tuned, self._cache, functools.partial(self._method_key, size, batch))
        self._prepared[size, batch] = tuple(loaded), notes, xla
        return self._prepared[size, batch]

    def _get_tuned_method(self, size: Size, batch: int) -> TunedMethod:
        """Return the method compiled and tuned for one size, cached if possible."""
        key = self._method_key(size, batch)
        tuned = self._cache.get_method(key)
        if tuned is None:
            tuned = autotune(
                lambda batch: self._compile_method(size, batch),
                batch,
                requested=self._options.precision,
                devices=self.pool.devices,
            )
            self._cache.put_method(self._method_key(size, batch), tuned)
        return tuned

    def _method_key(self, size: Size, batch: int) -> str:
        parts = "plan", self._model_key, self._compile_options, self.pool.devices, size, batch
        return self._cache.cache_key(*parts) if self._model_key else ""

    def _make_rebuilder(self, tuned: TunedMethod) -> Callable[[Executable, int], Executable]:
        def rebuild_smaller(executable: Executable, batch: int) -> Executable:
            with self._lock:
                method = self._compile_method(executable.size, batch)
            return self._load(method, executable.device, tuned)

        return rebuild_smaller

    def _load(self, method: FrozenMethod, device: str, tuned: TunedMethod) -> Executable:
        return method.load(device, tuned.precision, threads_yield=self.pool.threads_yield)

    def layers(self) -> tuple[str, ...]:
        """Return the paths of usable layers, from the input on.

        Loads the model.

        Raises:
            ModelError: it cannot be loaded or run.
        """
        rows = survey_model(self.loaded, self.info.input_size)
        return tuple(row.path for row in rows if row.usable)

    def check_first_frames(self, make_images: Callable[[], RgbImage]) -> str:
        """Check a guessed preprocessing on the first frames; see `FirstFramesCheck`."""
        owner = self._model_owner or self
        return owner._first_frames(owner.__dict__.get("loaded"), make_images)

    def _compile_method(self, size: Size, batch: int) -> FrozenMethod:
        return compile_method(
            self.loaded,
            self._method,
            layer=self._options.layer,
            functions=self.target_set.functions,
            by_code=self.target_set.by_code,
            size=size,
            batch=batch,
            passes_per_run=self._options.batch or DEFAULT_BATCH,
        )

    def workers(
        self,
        replicas: Sequence[DeviceReplica],
        timer: StageTimer,
        progress: Progress | None = None,
    ) -> tuple[Callable[[Batch], ExplainedBatch], ...]:
        """Return a function that explains batches for each replica.

        The functions are callable from several threads.

        Args:
            replicas: as from `PreparedSource.replicas`.
            timer: counts their time as ``model``.
            progress: called with passes done and passes in all, for methods of many; in the worker's thread.
        """
        return tuple(
            frame_worker(replica, self.target_set, self.info.labels, timer, progress, self.check_first_frames)
            for replica in replicas
        )
