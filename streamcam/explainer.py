"""Explain images from Python, without a video: `Explainer` returns an `Explanation`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .concurrency.group import StageGroup
from .errors import OptionError, PreprocessWarning, StreamcamError, TargetError, warn_user
from .explanation import Explanation
from .frames import ColorSpec, RgbImage, SourceInfo
from .geometry import Geometry
from .notes import collect_notes
from .options import DEFAULT_MODEL, ExplainOptions, Fit, ModelOptions, Precision, normalize_targets
from .temporal import is_zero, zero_map_note

if TYPE_CHECKING:
    from typing import Literal

    from .engine.compiled_method import BatchResult
    from .engine.explainer import FrameExplainer
    from .engine.runtime.replica import DeviceReplica
    from .methods import Method
    from .models.targets import Target, TargetSet


@dataclass(frozen=True, slots=True)
class _ImageResult:
    """The results of one image."""

    maps: NDArray[np.float32]
    targets: tuple[str, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[str, float], ...]
    quality_metrics: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    has_zero_map: bool = False


class Explainer:
    """A model with a method, ready to explain images.

    Compiles with the first images.

        explainer = streamcam.Explainer("ResNet50", method="gradcam", target="tabby")
        explanation = explainer.explain(images)
        explanation.maps, explanation.overlay()

    Use it from one thread at a time. It never changes the model and copies its weights: make a new one after
    further training. A model given by name is loaded only if the compile cache has no entry for it.

    Args:
        model: a `keras.Model`, ``efficientnet-lite0`` (embedded), a name from `keras.applications`, a ``.keras`` or
            ``.h5`` file, a SavedModel folder, or ``package.module:function``.
        method: a name that ``streamcam methods`` lists, or a function (also as ``package.module:function``).
        layer: ``auto``, or the path of the target layer.
        target: ``top``, a class name or index, a contrast ``"tabby - tiger cat"``, a function of the logits (also as
            ``package.module:function``); or a list of these, all explained from one forward pass.
        params: the method's own settings, such as ``{"steps": 64}``.
        preprocess: ``auto``; a name as for ``--preprocess``; a function of float32 ``(N, H, W, 3)`` RGB 0–255; or
            None: the model takes RGB 0–255 as float32.
        labels: ``auto``, ``imagenet``, a text file, or the names of the classes.
        fit: how images are fitted into the model's input: ``native``, ``stretch``, ``crop`` or ``letterbox``; ``auto``
            shows the model the whole image.
        precision: ``auto``, ``float32``, ``bfloat16`` (CPUs) or ``float16`` (GPUs).
        batch: images a run; 0 chooses.
        device: ``auto``, ``all``, ``cpu``, ``gpu:0``, or several with commas, which share the batches.
        image_input: name of the input that takes the images, for models with several.
        extra_input: constant values of the other inputs by name, such as ``{"temperature": 1.0}``.
        trust_model: as ``--trust-model``, for model files that you made yourself.

    Raises:
        StreamcamError: an argument is invalid, or the model cannot be loaded or explained.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        method: str | Method = "gradcam",
        *,
        layer: str = "auto",
        target: str | int | Callable[[Any], Any] | Sequence[Any] = "top",
        params: Mapping[str, Any] | None = None,
        preprocess: str | Callable[[Any], Any] | None = "auto",
        labels: str | Sequence[str] = "auto",
        fit: Fit | Literal["auto"] = "auto",
        precision: Precision = "auto",
        batch: int = 0,
        device: str = "auto",
        image_input: str = "",
        extra_input: Mapping[str, Any] | None = None,
        trust_model: bool = False,
    ) -> None:
        from .engine import load_explainer

        self._is_multi_target = isinstance(target, (list, tuple))
        self._model_options = ModelOptions(
            model=model,
            preprocess=preprocess,
            labels=labels,
            fit=fit,
            image_input=image_input,
            extra_input=extra_input or {},
            trust_model=trust_model,
        )
        self._explain_options = ExplainOptions(
            method=method,
            layer=layer,
            target=normalize_targets(target),
            params=params or {},
            batch=batch,
            precision=precision,
            device=device,
        )
        self._engine: FrameExplainer = load_explainer(self._model_options, self._explain_options)

    def explain(
        self,
        images: Any,
        *,
        targets: str | int | Sequence[str | int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Explanation:
        """Explain images.

        Args:
            images: RGB of any size: arrays or tensors ``(H, W, 3)``, ``(N, H, W, 3)``, Pillow images, paths, or a list
                of these. ``uint8``, or numbers in 0–1 or 0–255. An alpha channel is blended over white. Images of
                several shapes are stretched to one input, unless ``fit`` is set. If the model's output is not finite,
                the map is zero and a note names the image.
            targets: a class, contrast or ``top`` for each image, or one for all, instead of the explainer's own.
                Compiles nothing.
            progress: called with passes done and passes in all of each batch, for methods of many passes.

        Raises:
            OptionError: invalid images, or another number of targets than images.
            TargetError: a target is unknown, or a function.
            SourceError: a file cannot be read.
            StreamcamError: the model cannot be explained with these options.
        """
        from .engine.results import non_finite_reason
        from .media.image_arrays import as_images

        rgb_images, is_single = as_images(images)
        engine, image_targets = self._image_targets(targets, len(rgb_images))
        geometries = self._geometries(rgb_images)
        notes: list[str] = []
        with collect_notes(notes.append):
            prepared = engine.prepare(_source_info(rgb_images[0], len(rgb_images)), fit=self._choose_fit(rgb_images))
        if note := engine.check_first_frames(lambda: _model_inputs(rgb_images[:2], geometries[:2])):
            notes.append(note)
            warn_user(note, PreprocessWarning)
        results: list[_ImageResult] = []
        error_notes: list[str] = []
        batch_size = prepared.executable.batch
        batches = [slice(start, start + batch_size) for start in range(0, len(rgb_images), batch_size)]

        def run_batch(replica: DeviceReplica, indices: slice) -> BatchResult:
            inputs = _model_inputs(rgb_images[indices], geometries[indices])
            codes = engine.target_set.codes if image_targets is None else image_targets.codes[indices, None]
            return replica(inputs, codes, progress)

        def disable_replica(worker: int, error: StreamcamError) -> None:
            prepared.pool.disable(replicas[worker].device, error)

        replicas = prepared.replicas
        workers = [functools.partial(run_batch, replica) for replica in replicas]
        with collect_notes(notes.append), StageGroup() as group:
            for batch_result in group.map_ordered(
                batches, workers, depth=1, threads=prepared.concurrency, name="model", on_failure=disable_replica
            ):
                batch_errors = [
                    (len(results) + n, non_finite_reason(batch_result, n)) for n in range(len(batch_result.maps))
                ]
                error_notes += [f"image {number}: {error}" for number, error in batch_errors if error]
                own_targets = None if image_targets is None else image_targets.targets[len(results) :]
                results.extend(self._split_batch(batch_result, own_targets))

        num_zero = sum(one.has_zero_map for one in results) - len(error_notes)
        zero_note = zero_map_note(self._engine.method, num_zero, len(results), "image")

        def unwrap(values: Any) -> Any:
            return values if self._is_multi_target and targets is None else values[0]

        return Explanation(
            maps=_freeze(np.stack([unwrap(s.maps) for s in results])),
            targets=tuple(unwrap(s.targets) for s in results),
            scores=_freeze(np.array([unwrap(s.scores) for s in results])),
            probabilities=_freeze(np.array([unwrap(s.probabilities) for s in results])),
            top=tuple(s.top for s in results),
            method=self._engine.method,
            layer=prepared.executable.layer,
            precision=prepared.executable.precision,
            map_kind=self._engine.map_kind,
            quality_metrics={
                name: np.array([unwrap(s.quality_metrics[name]) for s in results])
                for name in results[0].quality_metrics
            },
            notes=(*prepared.notes, *notes, *filter(None, [zero_note]), *error_notes),
            images=tuple(_freeze(image.view()) for image in rgb_images),
            geometries=geometries,
            is_single=is_single,
            preprocess=self._engine.info.preprocess_summary,
        )

    def _choose_fit(self, images: list[RgbImage]) -> Fit | None:
        """Return the fit for images of several shapes.

        None leaves it to the engine.
        """
        inputs = {self._engine.geometry(_source_info(image)).input for image in images}
        if len(inputs) == 1:
            return None
        if self._model_options.fit != "auto":
            raise OptionError(
                f"--fit {self._model_options.fit} gives images of several shapes inputs of several sizes",
                hint="explain them one by one, or use fit='stretch'",
            )
        return "stretch"

    def _geometries(self, images: list[RgbImage]) -> tuple[Geometry, ...]:
        fit = self._choose_fit(images)
        return tuple(self._engine.geometry(_source_info(image), fit=fit) for image in images)

    def _image_targets(self, targets: Any, num_images: int) -> tuple[FrameExplainer, TargetSet | None]:
        """Return the engine for targets of images, and these targets; None for the explainer's own."""
        from .models.targets import TargetSet

        if targets is None:
            return self._engine, None
        given = normalize_targets(targets)
        if isinstance(targets, (list, tuple)) and len(given) != num_images:
            raise OptionError(f"{len(given)} targets for {num_images} images", expected="one for each image")
        found = TargetSet(self._engine.info.labels, given if len(given) == num_images else given * num_images)
        if found.functions:
            raise TargetError(
                f"target {found.functions[0].label} is a function",
                expected="classes or contrasts, one for each image",
                hint="give functions to Explainer(target=...)",
            )
        engine = self._engine if self._engine.target_set.by_code else self._engine.with_options(target=("top",))
        return engine, found

    def _split_batch(self, batch_result: BatchResult, image_targets: Sequence[Target] | None) -> list[_ImageResult]:
        """Return the results of each image; ``image_targets`` has one for each, None takes the explainer's own."""
        from .engine.results import make_attributions

        results = []
        for n in range(len(batch_result.maps)):
            targets = self._engine.targets if image_targets is None else image_targets[n : n + 1]
            attributions = make_attributions(batch_result, n, targets, self._engine.info.labels)
            results.append(
                _ImageResult(
                    maps=np.stack([one.heatmap for one in attributions]),
                    targets=tuple(one.label for one in attributions),
                    scores=np.array([one.score for one in attributions], np.float32),
                    probabilities=batch_result.probabilities[n],
                    top=tuple(
                        (self._engine.info.labels[c], float(p))
                        for c, p in zip(batch_result.top_classes[n], batch_result.top_probabilities[n], strict=True)
                    ),
                    quality_metrics={name: values[n] for name, values in batch_result.quality_metrics.items()},
                    has_zero_map=any(is_zero(one, self._engine.map_kind) for one in attributions),
                )
            )
        return results

    def __repr__(self) -> str:
        targets = ", ".join(getattr(one, "__name__", one) for one in self._explain_options.target)
        info = self._engine.info
        return (
            f"<Explainer: {self._engine.method} of {info.name}, preprocess {info.preprocess_summary}, target {targets}>"
        )


def _model_inputs(images: Sequence[RgbImage], geometries: Sequence[Geometry]) -> RgbImage:
    """Scale images to the model's input with the resizer of video, ``uint8 (N, h, w, 3)``."""
    from .media.rgb import from_rgb
    from .sources.resize import InputResizer

    resizers = {geometry: InputResizer(geometry, ColorSpec()) for geometry in geometries}
    return np.stack([resizers[g](from_rgb(image)) for image, g in zip(images, geometries, strict=True)])


def _freeze(array: Any) -> Any:
    array.setflags(write=False)
    return array


def _source_info(image: RgbImage, count: int = 1) -> SourceInfo:
    height, width = image.shape[:2]
    return SourceInfo("images", width, height, "yuv420p", Fraction(1), num_frames=count, is_image=True)
