"""Explanations of images from Python, without a video: `Explainer` and the `Explanation` it gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import DEFAULT_MODEL, Colormap, ExplainOptions, Layout, ModelOptions, Precision, as_targets
from .errors import OptionError, StreamcamError
from .flow import Flow
from .frames import Display, Pixels, SourceInfo
from .geometry import Fit, Geometry
from .temporal import peak

if TYPE_CHECKING:
    from typing import Literal

    from .engine.explainer import StreamExplainer
    from .engine.kernel import Look
    from .engine.replica import Replica
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
        figures: what the method says of its maps' quality, float32 ``(N,)`` each, by name.
        notes: what the user should know, such as the layer that was chosen and why.
        images: as they came, ``uint8 (H, W, 3)`` each.
        geometries: how each image was fitted into the model's input.
        alone: True where a single image came and not a batch.
    """

    maps: NDArray[np.float32]
    targets: tuple[Any, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[tuple[str, float], ...], ...]
    method: str
    layer: str
    precision: str
    display: Display
    figures: Mapping[str, NDArray[np.float32]]
    notes: tuple[str, ...]
    images: tuple[Pixels, ...]
    geometries: tuple[Geometry, ...]
    alone: bool

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
        from .config import DrawOptions, TimeOptions
        from .engine.stills import as_pictures

        options = DrawOptions(layout=layout, colormap=colormap, alpha=alpha)
        drawn_on = list(self.images) if images is None else as_pictures(images)[0]
        if [image.shape for image in drawn_on] != [image.shape for image in self.images]:
            raise OptionError("the images to draw on differ in number or size from those explained")
        several = self.maps[:, None] if self.maps.ndim == 3 else self.maps
        if not -several.shape[1] <= target < several.shape[1]:
            raise OptionError(f"there is no target {target}", wanted=f"0 to {several.shape[1] - 1}")
        if scale != "frame":
            if isinstance(scale, str):
                raise OptionError(f"scale {scale!r} is not possible", wanted="frame or a number")
            TimeOptions(scale=scale)
        maps = several[:, target]
        drawn = [
            overlay(
                image,
                heatmap,
                geometry,
                options,
                full_scale=peak(heatmap, self.display) if scale == "frame" else float(scale),
                display=self.display,
            )
            for image, heatmap, geometry in zip(drawn_on, maps, self.geometries, strict=True)
        ]
        if self.alone:
            return drawn[0]
        return np.stack(drawn) if len({image.shape for image in drawn}) == 1 else drawn

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        where = "" if self.layer == "input" else f" at {self.layer}"
        seen = [self._told(n) for n in range(min(len(self), 3))]
        more = f", and {len(self) - 3} more" if len(self) > 3 else ""
        return f"<Explanation: {self.method}{where}, {self.precision}; maps {self.maps.shape}; {', '.join(seen)}{more}>"

    def _told(self, n: int) -> str:
        names = self.targets[n] if isinstance(self.targets[n], tuple) else (self.targets[n],)
        values = zip(names, np.atleast_1d(self.probabilities[n]), np.atleast_1d(self.scores[n]), strict=True)
        return " + ".join(f"{name} {p:.0%}" if np.isfinite(p) else f"{name} {score:+.2f}" for name, p, score in values)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One picture's part of a look."""

    maps: NDArray[np.float32]
    targets: tuple[str, ...]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    top: tuple[tuple[str, float], ...]
    figures: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


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
        image_input, feed: for models with several inputs, as ``--image-input`` and ``--feed``.

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
        feed: Mapping[str, Any] | None = None,
    ) -> None:
        from .engine import load_explainer

        self._several = isinstance(target, (list, tuple))
        self._model = ModelOptions(
            model=model, preprocess=preprocess, labels=labels, fit=fit, image_input=image_input, feed=feed or {}
        )
        self._explain = ExplainOptions(
            method=method,
            layer=layer,
            target=as_targets(target),
            params=params or {},
            batch=batch,
            precision=precision,
            device=device,
        )
        self._engine: StreamExplainer = load_explainer(self._model, self._explain)

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
        from .engine.explainer import troubled
        from .engine.stills import as_pictures, fitted

        pictures, alone = as_pictures(images)
        geometries = self._geometries(pictures)
        view = self._engine.view(_info(pictures[0], len(pictures)), fit=self._fit(pictures))
        seen: list[_Seen] = []
        troubles: list[str] = []
        said: list[str] = []
        size = view.kernel.batch
        batches = [slice(start, start + size) for start in range(0, len(pictures), size)]

        def work(replica: Replica, here: slice) -> Look:
            inputs = np.stack([fitted(p, g) for p, g in zip(pictures[here], geometries[here], strict=True)])
            return replica(inputs, progress, said.append)

        def failed(worker: int, error: StreamcamError) -> None:
            replicas[worker].out = True
            said.append(f"{replicas[worker].device} is out: {error}")

        replicas = view.replicas
        workers = [functools.partial(work, replica) for replica in replicas]
        with Flow() as flow:
            for look in flow.deal(batches, workers, depth=1, threads=view.threads, name="model", failed=failed):
                told = [(len(seen) + n, troubled(look, n)) for n in range(len(look.maps))]
                troubles += [f"image {number}: {trouble}" for number, trouble in told if trouble]
                seen.extend(self._seen(look, len(look.maps)))

        def one(values: Any) -> Any:
            return values if self._several else values[0]

        return Explanation(
            maps=_frozen(np.stack([one(s.maps) for s in seen])),
            targets=tuple(one(s.targets) for s in seen),
            scores=_frozen(np.array([one(s.scores) for s in seen])),
            probabilities=_frozen(np.array([one(s.probabilities) for s in seen])),
            top=tuple(s.top for s in seen),
            method=self._engine.method,
            layer=view.kernel.layer,
            precision=view.kernel.precision,
            display=self._engine.display,
            figures={name: np.array([one(s.figures[name]) for s in seen]) for name in seen[0].figures},
            notes=(*view.notes, *said, *troubles),
            images=tuple(_frozen(picture.view()) for picture in pictures),
            geometries=geometries,
            alone=alone,
        )

    def _fit(self, pictures: list[Pixels]) -> Fit | None:
        """The fit for pictures of several shapes; None leaves it to the engine."""
        inputs = {self._engine.geometry(_info(picture)).input for picture in pictures}
        if len(inputs) == 1:
            return None
        if self._model.fit != "auto":
            raise OptionError(
                f"--fit {self._model.fit} gives images of several shapes inputs of several sizes",
                do="explain them one by one, or use fit='stretch'",
            )
        return "stretch"

    def _geometries(self, pictures: list[Pixels]) -> tuple[Geometry, ...]:
        chosen = self._fit(pictures)
        return tuple(self._engine.geometry(_info(picture), fit=chosen) for picture in pictures)

    def _seen(self, look: Any, count: int) -> list[_Seen]:
        seen = []
        for n in range(count):
            evidence = self._engine.evidence(look, n)
            seen.append(
                _Seen(
                    maps=np.stack([one.heatmap for one in evidence]),
                    targets=tuple(one.label for one in evidence),
                    scores=np.array([one.score for one in evidence], np.float32),
                    probabilities=look.probabilities[n],
                    top=tuple(
                        (self._engine.info.labels[c], float(p))
                        for c, p in zip(look.top_classes[n], look.top_probabilities[n], strict=True)
                    ),
                    figures={name: values[n] for name, values in look.figures.items()},
                )
            )
        return seen

    def __repr__(self) -> str:
        targets = ", ".join(getattr(one, "__name__", one) for one in self._explain.target)
        return f"<Explainer: {self._engine.method} of {self._engine.info.name}, target {targets}>"


def _frozen(array: Any) -> Any:
    array.setflags(write=False)
    return array


def _info(picture: Pixels, count: int = 1) -> SourceInfo:
    height, width = picture.shape[:2]
    return SourceInfo("images", width, height, "yuv420p", Fraction(1), frames=count, still=True)
