"""The result of `Explainer`: maps, scores and overlays of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .frames import MapKind, RgbImage
from .geometry import Geometry
from .options import Colormap, DrawOptions, Layout, TemporalOptions
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
        map_kind: how to show the maps: ``heat``, ``pixels`` or ``signed``.
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
    map_kind: MapKind
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
        colormap: Colormap = "auto",
        layout: Layout = "overlay",
        caption: bool = False,
    ) -> Any:
        """Draw the heatmaps over the images, registered to the pixel.

        Args:
            images: other images of the same sizes to draw on; by default the explained ones.
            target: which of several targets.
            scale: attribution drawn at full strength; ``frame`` takes each map's own largest (99th percentile of
                pixels).
            alpha: opacity of full attribution, 0–1.
            colormap: a name of Matplotlib, such as ``viridis`` or ``gray_r``; ``auto`` suits the method.
            layout: ``overlay``, ``heatmap`` or ``side-by-side``.
            caption: write class, probability, method and layer on each image.

        Returns:
            ``uint8 (H, W, 3)`` for a single image; ``(N, H, W, 3)`` for several; a list if their sizes differ.

        Raises:
            OptionError: images of other sizes, or an invalid value.
        """
        rendered = self.draw(
            range(len(self)),
            target,
            images=images,
            scale=scale,
            alpha=alpha,
            colormap=colormap,
            layout=layout,
            caption=caption,
        )
        if self.is_single:
            return rendered[0]
        return np.stack(rendered) if len({image.shape for image in rendered}) == 1 else rendered

    def draw(
        self,
        numbers: Iterable[int],
        target: int,
        *,
        images: Any = None,
        scale: float | Literal["frame"] = "frame",
        caption: bool = False,
        **options: Any,
    ) -> list[RgbImage]:
        """Return the overlays of some images as a list; arguments as for `overlay`."""
        from .compose import overlay_image
        from .compose.image_caption import caption_image
        from .media.image_arrays import as_images

        draw_options = DrawOptions(**options)
        base_images = list(self.images) if images is None else as_images(images)[0]
        if [image.shape for image in base_images] != [image.shape for image in self.images]:
            raise OptionError("the images to draw on differ in number or size from those explained")
        if not -self.num_targets <= target < self.num_targets:
            raise OptionError(f"there is no target {target}", expected=f"0 to {self.num_targets - 1}")
        if scale != "frame":
            if isinstance(scale, str):
                raise OptionError(f"unknown scale {scale!r}", expected="frame or a number")
            TemporalOptions(scale=scale)
        rendered = []
        for n in numbers:
            heatmap = self.target_maps[n, target]
            vmax = peak(heatmap, self.map_kind) if scale == "frame" else float(scale)
            image = overlay_image(
                base_images[n], heatmap, self.geometries[n], draw_options, vmax=vmax, map_kind=self.map_kind
            )
            rendered.append(
                caption_image(image, ["  ".join(self.describe(n, target)), self.origin]) if caption else image
            )
        return rendered

    def plot(self, **options: Any) -> Any:
        """Return a `matplotlib.figure.Figure` with overlays, titles and color bars.

        It has a row for each image and a column for each target.

        Args:
            **options: as for `overlay`, except ``images`` and ``target``.

        Raises:
            StreamcamError: Matplotlib is not installed; the message has the command.
        """
        from .notebook import figure_of

        return figure_of(self, options)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> tuple[Path, ...]:
        """Write the overlays as PNG or JPEG at full size; several get numbers before the suffix.

        Args:
            path: of the file; ``.png``, ``.jpg`` or ``.jpeg``.
            overwrite: replace existing files.
            **options: as for `overlay`.

        Returns:
            The paths of the files.

        Raises:
            OptionError: another suffix, or an invalid option.
            SinkError: a file exists, or cannot be written.
        """
        from .notebook import save_images

        images = self.overlay(**options)
        return save_images([images] if self.is_single else list(images), Path(path), overwrite=overwrite)

    @property
    def num_targets(self) -> int:
        """Number of targets of each image."""
        return 1 if self.maps.ndim == 3 else int(self.maps.shape[1])

    @property
    def target_maps(self) -> NDArray[np.float32]:
        """The maps, always with an axis for targets: ``(N, targets, h, w)``."""
        return self.maps[:, None] if self.maps.ndim == 3 else self.maps

    @property
    def origin(self) -> str:
        """The method, and the layer if it has one."""
        return self.method if self.layer == "input" else f"{self.method} at {self.layer}"

    def describe(self, n: int, target: int = 0) -> tuple[str, str]:
        """Return the name of a target, and its probability as text.

        The score in logits replaces the probability of a target that is no class.
        """
        names = self.targets[n] if isinstance(self.targets[n], tuple) else (self.targets[n],)
        probability, score = np.atleast_1d(self.probabilities[n])[target], np.atleast_1d(self.scores[n])[target]
        return names[target], f"{probability:.0%}" if np.isfinite(probability) else f"{score:+.2f}"

    def _repr_html_(self) -> str:
        """Return the overlays with color bars and classes, for notebooks."""
        from .notebook import html_of

        return html_of(self)

    def _repr_png_(self) -> bytes:
        """Return the captioned overlays with color bars, for consoles that show images."""
        from .notebook import png_of

        return png_of(self)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        summaries = [
            " + ".join(" ".join(self.describe(n, target)) for target in range(self.num_targets))
            for n in range(min(len(self), 3))
        ]
        more = f", and {len(self) - 3} more" if len(self) > 3 else ""
        guess = f", preprocess {self.preprocess}" if self.preprocess.endswith("(guessed)") else ""
        parts = f"{self.origin}, {self.precision}{guess}; maps {self.maps.shape}; {', '.join(summaries)}{more}"
        return f"<Explanation: {parts}>"
