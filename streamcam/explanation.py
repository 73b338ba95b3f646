"""The result of `Explainer`: maps, scores and overlays of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .frames import MapKind, RgbImage
from .geometry import Geometry
from .options import Colormap, Layout
from .temporal import peak

if TYPE_CHECKING:
    from typing import Literal


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation:
    """The attributions of ``N`` images.

    With several targets (``target=[…]``) every attribute of a target has a second axis for them.

    Attributes:
        maps: raw attribution, float32 ``(N, h, w)``, not normalised; on the target layer's grid or, for methods that
            explain pixels, of the model's input size.
        targets: name of the explained target of each image.
        scores: explained score, in logits (pre-softmax), float32 ``(N,)``.
        probabilities: of the class, float32 ``(N,)``; NaN for a target that is no class.
        top: the most probable classes of each image, ``(name, probability)``, best first.
        method: name of the method.
        layer: path of the target layer; ``input`` if the method has none.
        precision: precision of the model; maps are float32.
        display: how to show the maps: ``heat``, ``pixels`` or ``signed``.
        quality_metrics: the method's metrics of its maps' quality, float32 ``(N,)`` each, by name.
        notes: one-line announcements for the user, such as the chosen layer and why.
        images: the unchanged inputs, ``uint8 (H, W, 3)`` each.
        geometries: how each image was fitted into the model's input.
        is_single: True for a single image instead of a batch.
        preprocess: preprocessing of the images, with ``(guessed)`` if the model does not define it.
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
    preprocess: str = ""

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
        """Draw the heatmaps over the images, registered to the pixel.

        Args:
            images: other images of the same sizes to draw on; by default the explained ones.
            target: which of several targets.
            scale: attribution drawn at full strength; ``frame`` takes each map's own largest (99th percentile of
                pixels).
            alpha: opacity of full attribution, 0–1.
            colormap: ``turbo``, ``jet``, ``viridis``, ``inferno`` or ``magma``; signed maps have their own.
            layout: ``overlay``, ``heatmap`` or ``side-by-side``.

        Returns:
            ``uint8 (H, W, 3)`` for a single image; ``(N, H, W, 3)`` for several; a list if their sizes differ.

        Raises:
            OptionError: images of other sizes, or an invalid value.
        """
        from .compose import overlay_image
        from .media.image_arrays import as_images
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
                raise OptionError(f"unknown scale {scale!r}", expected="frame or a number")
            TemporalOptions(scale=scale)
        maps = target_maps[:, target]
        rendered = [
            overlay_image(
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
        guess = f", preprocess {self.preprocess}" if self.preprocess.endswith("(guessed)") else ""
        parts = f"{self.method}{where}, {self.precision}{guess}; maps {self.maps.shape}; {', '.join(summaries)}{more}"
        return f"<Explanation: {parts}>"

    def _format_targets(self, n: int) -> str:
        names = self.targets[n] if isinstance(self.targets[n], tuple) else (self.targets[n],)
        values = zip(names, np.atleast_1d(self.probabilities[n]), np.atleast_1d(self.scores[n]), strict=True)
        return " + ".join(f"{name} {p:.0%}" if np.isfinite(p) else f"{name} {score:+.2f}" for name, p, score in values)
