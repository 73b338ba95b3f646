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
from .errors import OptionError, StreamcamError
from .explanation import Explanation
from .frames import ColorSpec, RgbImage, SourceInfo
from .geometry import Geometry
from .notes import collect_notes
from .options import DEFAULT_MODEL, ExplainOptions, Fit, ModelOptions, Precision, normalize_targets

if TYPE_CHECKING:
    from typing import Literal

    from .engine.compiled_method import BatchResult
    from .engine.explainer import FrameExplainer
    from .engine.runtime.replica import DeviceReplica
    from .methods import Method


@dataclass(frozen=True, slots=True)
class _ImageResult:
    """The results of one image."""

    maps: NDArray[np.float32]
    targets: tuple[str, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[str, float], ...]
    quality_metrics: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


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
        fit: how images are fitted into the model's input; ``auto`` shows the model the whole image.
        precision: ``auto``, ``float32``, ``bfloat16`` (CPUs) or ``float16`` (GPUs).
        batch: images a run; 0 chooses.
        device: ``auto``, ``all``, ``cpu``, ``gpu:0``, or several with commas, which share the batches.
        image_input, extra_input: for models with several inputs, as ``--image-input`` and ``--extra-input``.
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

    def explain(self, images: Any, *, progress: Callable[[int, int], None] | None = None) -> Explanation:
        """Explain images.

        Args:
            images: ``uint8`` RGB of any size, NumPy or tensors: ``(H, W, 3)``, ``(N, H, W, 3)``, or a list of the
                former. Images of several shapes are stretched to one input, unless ``fit`` is set. If the model's
                output is not finite, the map is zero and a note names the image.
            progress: called with passes done and passes in all of each batch, for methods of many passes.

        Raises:
            OptionError: invalid images.
            StreamcamError: the model cannot be explained with these options.
        """
        from .engine.results import non_finite_reason
        from .media.image_arrays import as_images

        rgb_images, is_single = as_images(images)
        geometries = self._geometries(rgb_images)
        notes: list[str] = []
        with collect_notes(notes.append):
            prepared = self._engine.prepare(
                _source_info(rgb_images[0], len(rgb_images)), fit=self._choose_fit(rgb_images)
            )
        results: list[_ImageResult] = []
        error_notes: list[str] = []
        batch_size = prepared.executable.batch
        batches = [slice(start, start + batch_size) for start in range(0, len(rgb_images), batch_size)]

        def run_batch(replica: DeviceReplica, indices: slice) -> BatchResult:
            inputs = _model_inputs(rgb_images[indices], geometries[indices])
            return replica(inputs, progress)

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
                results.extend(self._split_batch(batch_result, len(batch_result.maps)))

        def unwrap(values: Any) -> Any:
            return values if self._is_multi_target else values[0]

        return Explanation(
            maps=_freeze(np.stack([unwrap(s.maps) for s in results])),
            targets=tuple(unwrap(s.targets) for s in results),
            scores=_freeze(np.array([unwrap(s.scores) for s in results])),
            probabilities=_freeze(np.array([unwrap(s.probabilities) for s in results])),
            top=tuple(s.top for s in results),
            method=self._engine.method,
            layer=prepared.executable.layer,
            precision=prepared.executable.precision,
            display=self._engine.display,
            quality_metrics={
                name: np.array([unwrap(s.quality_metrics[name]) for s in results])
                for name in results[0].quality_metrics
            },
            notes=(*prepared.notes, *notes, *error_notes),
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

    def _split_batch(self, batch_result: Any, count: int) -> list[_ImageResult]:
        from .engine.results import make_attributions

        results = []
        for n in range(count):
            attributions = make_attributions(batch_result, n, self._engine.targets, self._engine.info.labels)
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
