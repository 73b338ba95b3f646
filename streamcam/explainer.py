"""Explanations of images from Python, without a video: `Explainer` and the `Explanation` it gives."""

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
from .frames import MapKind, RgbImage, SourceInfo
from .geometry import Fit, Geometry
from .options import DEFAULT_MODEL, Colormap, ExplainOptions, Layout, ModelOptions, Precision, normalize_targets
from .temporal import peak

if TYPE_CHECKING:
    from typing import Literal

    from .engine.compiled_method import BatchResult
    from .engine.explainer import FrameExplainer
    from .engine.runtime.replica import DeviceReplica
    from .methods import Method


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation:
    """Where a model looked in ``N`` images.

    With several targets (``target=[…]``) everything below that is told of a target has a second axis for them.

    Attributes:
        maps: raw evidence, float32 ``(N, h, w)``, on the target layer's grid or, of methods that explain pixels, of the
            size of the model's input; not normalised.
        targets: name of what was explained in each image.
        scores: what was explained, in logits (pre-softmax), float32 ``(N,)``.
        probabilities: of the class, float32 ``(N,)``; NaN for a target that is no class.
        top: the most probable classes of each image, ``(name, probability)``, best first.
        method: name of the method.
        layer: path of the target layer; ``input`` where the method has none.
        precision: that the model ran in; maps are float32.
        display: how the maps are meant to be shown: ``heat``, ``pixels`` or ``signed``.
        quality_metrics: what the method says of its maps' quality, float32 ``(N,)`` each, by name.
        notes: what the user should know, such as the layer that was chosen and why.
        images: as they came, ``uint8 (H, W, 3)`` each.
        geometries: how each image was fitted into the model's input.
        is_single: True where a single image came and not a batch.
    """

    maps: NDArray[np.float32]
    targets: tuple[Any, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[tuple[str, float], ...], ...]
    method: str
    layer: str
    precision: str
    display: MapKind
    quality_metrics: Mapping[str, NDArray[np.float32]]
    notes: tuple[str, ...]
    images: tuple[RgbImage, ...]
    geometries: tuple[Geometry, ...]
    is_single: bool

    def overlay(
        self,
        images: Any = None,
        *,
        target: int = 0,
        scale: float | Literal["frame"] = "frame",
        alpha: float = 0.6,
        colormap: Colormap = "turbo",
        layout: Layout = "overlay",
    ) -> Any:
        """The images with the evidence over them, registered to the pixel.

        Args:
            images: other images of the same sizes to draw on; those that were explained by default.
            target: which of several targets.
            scale: evidence that is drawn as full; ``frame`` takes each map's own largest (99th percentile of pixels).
            alpha: opacity where the evidence is full, 0–1.
            colormap: ``turbo``, ``jet``, ``viridis``, ``inferno`` or ``magma``; signed maps have their own.
            layout: ``overlay``, ``heatmap`` or ``side-by-side``.

        Returns:
            ``uint8 (H, W, 3)`` for a single image; ``(N, H, W, 3)`` for several; a list where their sizes differ.

        Raises:
            OptionError: images of other sizes, or a value that is not possible.
        """
        from .compose import overlay
        from .engine.images import as_images
        from .options import DrawOptions, TemporalOptions

        options = DrawOptions(layout=layout, colormap=colormap, alpha=alpha)
        base_images = list(self.images) if images is None else as_images(images)[0]
        if [image.shape for image in base_images] != [image.shape for image in self.images]:
            raise OptionError("the images to draw on differ in number or size from those explained")
        target_maps = self.maps[:, None] if self.maps.ndim == 3 else self.maps
        if not -target_maps.shape[1] <= target < target_maps.shape[1]:
            raise OptionError(f"there is no target {target}", expected=f"0 to {target_maps.shape[1] - 1}")
        if scale != "frame":
            if isinstance(scale, str):
                raise OptionError(f"scale {scale!r} is not possible", expected="frame or a number")
            TemporalOptions(scale=scale)
        maps = target_maps[:, target]
        rendered = [
            overlay(
                image,
                heatmap,
                geometry,
                options,
                vmax=peak(heatmap, self.display) if scale == "frame" else float(scale),
                display=self.display,
            )
            for image, heatmap, geometry in zip(base_images, maps, self.geometries, strict=True)
        ]
        if self.is_single:
            return rendered[0]
        return np.stack(rendered) if len({image.shape for image in rendered}) == 1 else rendered

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        where = "" if self.layer == "input" else f" at {self.layer}"
        summaries = [self._format_targets(n) for n in range(min(len(self), 3))]
        more = f", and {len(self) - 3} more" if len(self) > 3 else ""
        return f"<Explanation: {self.method}{where}, {self.precision}; maps {self.maps.shape}; {', '.join(summaries)}{more}>"

    def _format_targets(self, n: int) -> str:
        names = self.targets[n] if isinstance(self.targets[n], tuple) else (self.targets[n],)
        values = zip(names, np.atleast_1d(self.probabilities[n]), np.atleast_1d(self.scores[n]), strict=True)
        return " + ".join(f"{name} {p:.0%}" if np.isfinite(p) else f"{name} {score:+.2f}" for name, p, score in values)


@dataclass(frozen=True, slots=True)
class _ImageResult:
    """One picture's part of a look."""

    maps: NDArray[np.float32]
    targets: tuple[str, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[str, float], ...]
    quality_metrics: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Explainer:
    """A model with a method, ready to explain images. Compiles with the first images.

        explainer = streamcam.Explainer("ResNet50", method="gradcam", target="tabby")
        explanation = explainer.explain(images)
        explanation.maps, explanation.overlay()

    Use it from one thread at a time. The model is left as it was, and its weights are copied when it is compiled: after
    training it further, make a new one. A model that is named is loaded only where nothing is kept of it from before.

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
        fit: how images are fitted into the model's input; ``auto`` shows it the whole image.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        batch: images a run; 0 chooses.
        device: ``auto``, ``all``, ``cpu``, ``gpu:0``, or several with commas, which share the batches.
        image_input, extra_input: for models with several inputs, as ``--image-input`` and ``--extra-input``.

    Raises:
        StreamcamError: something cannot be had; says what, and what to do.
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
        """Explains images.

        Args:
            images: ``uint8`` RGB of any size, NumPy or tensors: ``(H, W, 3)``, ``(N, H, W, 3)``, or a list of the
                former. Images of several shapes are stretched to one input, unless ``fit`` says otherwise. Where the
                model's answer is not a number, the map is zero and a note says for which image.
            progress: called with passes done and passes in all of each batch, for methods of many passes.

        Raises:
            OptionError: no such images.
            StreamcamError: the model cannot be explained as asked for.
        """
        from .engine.explainer import non_finite_reason
        from .engine.images import as_images, fit_image

        rgb_images, is_single = as_images(images)
        geometries = self._geometries(rgb_images)
        prepared = self._engine.prepare(_source_info(rgb_images[0], len(rgb_images)), fit=self._choose_fit(rgb_images))
        results: list[_ImageResult] = []
        error_notes: list[str] = []
        notes: list[str] = []
        batch_size = prepared.executable.batch
        batches = [slice(start, start + batch_size) for start in range(0, len(rgb_images), batch_size)]

        def run_batch(replica: DeviceReplica, indices: slice) -> BatchResult:
            inputs = np.stack([fit_image(p, g) for p, g in zip(rgb_images[indices], geometries[indices], strict=True)])
            return replica(inputs, progress, notes.append)

        def disable_replica(worker: int, error: StreamcamError) -> None:
            replicas[worker].failed = True
            notes.append(f"{replicas[worker].device} is out: {error}")

        replicas = prepared.replicas
        workers = [functools.partial(run_batch, replica) for replica in replicas]
        with StageGroup() as group:
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
        )

    def _choose_fit(self, images: list[RgbImage]) -> Fit | None:
        """The fit for pictures of several shapes; None leaves it to the engine."""
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
        results = []
        for n in range(count):
            attributions = self._engine.make_attributions(batch_result, n)
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
                    quality_metrics={name: values[n] for name, values in batch_result.figures.items()},
                )
            )
        return results

    def __repr__(self) -> str:
        targets = ", ".join(getattr(one, "__name__", one) for one in self._explain_options.target)
        return f"<Explainer: {self._engine.method} of {self._engine.info.name}, target {targets}>"


def _freeze(array: Any) -> Any:
    array.setflags(write=False)
    return array


def _source_info(image: RgbImage, count: int = 1) -> SourceInfo:
    height, width = image.shape[:2]
    return SourceInfo("images", width, height, "yuv420p", Fraction(1), num_frames=count, is_image=True)
