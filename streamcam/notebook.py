"""How an `Explanation` shows itself: HTML and PNG for notebooks, a Matplotlib figure, and files."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, SinkError, StreamcamError
from .frames import MapKind, RgbImage
from .options import DrawOptions
from .temporal import peak

_MAX_SHOWN = 12
"""Images shown at most: a notebook stores each of them."""

_MAX_SHOWN_SIDE = 640
"""Longest side of a shown image, in pixels; files and `Explanation.overlay` keep the full size."""

_BAR_WIDTH, _GAP = 12, 8
_STYLE = (
    "display:inline-block;vertical-align:top;margin:0 16px 16px 0;"
    "font:13px/1.4 system-ui,sans-serif;color:inherit;max-width:100%"
)
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_DEFAULTS = DrawOptions()
_BAR_OPTIONS = ("colormap", "layout")
"""Options of drawing that change the color bar."""


class Explained(Protocol):
    """The part of an `Explanation` that is shown, see there."""

    @property
    def top(self) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The most probable classes of each image."""

    @property
    def map_kind(self) -> MapKind:
        """How the maps are drawn."""

    @property
    def num_targets(self) -> int:
        """Number of targets of each image."""

    @property
    def target_maps(self) -> NDArray[np.float32]:
        """Maps, ``(N, targets, h, w)``."""

    @property
    def origin(self) -> str:
        """Method and layer."""

    def describe(self, n: int, target: int = 0) -> tuple[str, str]:
        """Return name and probability or score of a target."""

    def draw(self, numbers: Iterable[int], target: int, *, caption: bool = False, **options: Any) -> list[RgbImage]:
        """Return the overlays of some images."""

    def __len__(self) -> int: ...


def html_of(explanation: Explained) -> str:
    """Return HTML with a figure for each image and target: overlay, color bar, class, probability, top classes."""
    figures = []
    for n, target in _shown(explanation):
        overlay, bar = _thumbnail(explanation.draw([n], target)[0]), _vertical_bar(explanation, 100)
        low, high = _value_range(explanation, n, target)
        name, value = explanation.describe(n, target)
        rows = "".join(
            f'<tr><td style="padding:0 12px 0 0;text-align:left">{html.escape(label)}</td>'
            f'<td style="text-align:right">{probability:.1%}</td></tr>'
            for label, probability in explanation.top[n]
        )
        figures.append(
            f'<figure style="{_STYLE}"><div style="display:flex">'
            f'<img alt="heatmap of {html.escape(name)}" src="{_data_url(overlay)}" '
            f'width="{overlay.shape[1]}" style="max-width:85%;height:auto;align-self:flex-start">'
            f'<span role="img" aria-label="color bar" style="flex:0 0 {_BAR_WIDTH}px;margin:0 4px 0 {_GAP}px;'
            f'background:url({_data_url(bar)}) 0 0/100% 100%"></span>'
            '<span style="display:flex;flex-direction:column;justify-content:space-between">'
            f"<span>{high:.3g}</span><span>{low:.3g}</span></span></div>"
            f"<figcaption><b>{html.escape(name)}</b> {value}<br>{html.escape(explanation.origin)}"
            f'<table style="margin:4px 0 0">{rows}</table></figcaption></figure>'
        )
    omitted = _num_omitted(explanation)
    note = f"<p>{omitted} more are not shown</p>" if omitted else ""
    return f"<div>{''.join(figures)}{note}</div>"


def png_of(explanation: Explained) -> bytes:
    """Return a PNG: captioned overlays in a row, with color bars."""
    from .media.image_bytes import encode_rgb

    tiles = []
    for n, target in _shown(explanation):
        overlay = _thumbnail(explanation.draw([n], target, caption=True)[0])
        gap = np.full((len(overlay), _GAP, 3), 255, np.uint8)
        tiles += [overlay, gap, np.repeat(_vertical_bar(explanation, len(overlay)), _BAR_WIDTH, axis=1), gap]
    height = max(len(tile) for tile in tiles)
    padded = [np.pad(tile, ((0, height - len(tile)), (0, 0), (0, 0)), constant_values=255) for tile in tiles]
    return encode_rgb(np.concatenate(padded[:-1], axis=1), ".png", quality=0)


def figure_of(explanation: Explained, overlay_options: dict[str, Any]) -> Any:
    """Return a Matplotlib figure of overlays with color bars.

    It has a row for each image and a column for each target.

    Args:
        explanation: what to show.
        overlay_options: as for `Explanation.overlay`; the bars follow them.

    Raises:
        OptionError: an invalid value.
        StreamcamError: Matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize
    except ImportError:
        raise StreamcamError("plot() needs Matplotlib", hint="pip install 'streamcam[plot]'") from None
    from .compose.image_caption import color_bar

    draw_options = DrawOptions(**{name: overlay_options[name] for name in _BAR_OPTIONS if name in overlay_options})
    scale = overlay_options.get("scale", "frame")
    images, targets = len(explanation), explanation.num_targets
    figure = pyplot.figure(figsize=(4.8 * targets, 3.6 * images), layout="constrained")
    axes = figure.subplots(images, targets, squeeze=False)
    table = ListedColormap(color_bar(draw_options, explanation.map_kind, 256) / 255.0)
    for target in range(targets):
        for n, overlay in enumerate(explanation.draw(range(images), target, **overlay_options)):
            axis = axes[n, target]
            axis.imshow(overlay)
            axis.set_axis_off()
            name, value = explanation.describe(n, target)
            axis.set_title(f"{name}  {value}\n{explanation.origin}", fontsize="medium")
            low, high = _value_range(explanation, n, target, draw_options, scale)
            norm = Normalize(low, high or 1.0)  # of a map that is zero, Matplotlib would show ±0.1
            figure.colorbar(ScalarMappable(norm, table), ax=axis, label="attribution")
    if "inline" in pyplot.get_backend():
        pyplot.close(figure)  # a notebook shows the returned figure, and would show an open one again
    return figure


def save_images(images: Sequence[RgbImage], path: Path, *, overwrite: bool) -> tuple[Path, ...]:
    """Write images; several get numbers before the suffix.

    Writes each file completely or not at all.

    Args:
        images: ``uint8 (H, W, 3)`` each.
        path: of the file; ``.png``, ``.jpg`` or ``.jpeg``.
        overwrite: replace existing files.

    Raises:
        OptionError: another suffix.
        SinkError: a file exists, or cannot be written.
    """
    from .media.image_bytes import encode_rgb
    from .sinks.paths import check_output_path, write_file

    if path.suffix.lower() not in _IMAGE_SUFFIXES:
        raise OptionError(f"unsupported suffix {path.suffix!r}", expected=f"one of {', '.join(_IMAGE_SUFFIXES)}")
    digits = len(str(len(images) - 1))
    paths = [path] if len(images) == 1 else [path.with_stem(f"{path.stem}-{n:0{digits}}") for n in range(len(images))]
    for file in paths:
        if os.path.exists(file):
            if not overwrite:
                raise SinkError(f"{file} exists", hint="use another name, or overwrite=True")
            check_output_path(file, overwrite=True)
    for image, file in zip(images, paths, strict=True):
        try:
            write_file(encode_rgb(image, file.suffix, quality=95, subsampling="4:4:4"), file, overwrite=overwrite)
        except OSError as error:
            raise SinkError(f"{file} cannot be written: {error.strerror or error}") from error
    return tuple(paths)


def _shown(explanation: Explained) -> list[tuple[int, int]]:
    """Return the images and targets to show."""
    every = [(n, target) for n in range(len(explanation)) for target in range(explanation.num_targets)]
    return every[:_MAX_SHOWN]


def _num_omitted(explanation: Explained) -> int:
    return max(0, len(explanation) * explanation.num_targets - _MAX_SHOWN)


def _value_range(
    explanation: Explained,
    n: int,
    target: int,
    options: DrawOptions = _DEFAULTS,
    scale: float | Literal["frame"] = "frame",
) -> tuple[float, float]:
    """Return the attribution at both ends of the color bar."""
    from .compose.overlay import level_kind

    high = peak(explanation.target_maps[n, target], explanation.map_kind) if scale == "frame" else float(scale)
    return (-high if level_kind(options, explanation.map_kind) == "signed" else 0.0), high


def _vertical_bar(explanation: Explained, height: int) -> RgbImage:
    from .compose.image_caption import color_bar

    return color_bar(_DEFAULTS, explanation.map_kind, height)[::-1, None]


def _thumbnail(image: RgbImage) -> RgbImage:
    from PIL import Image

    if max(image.shape[:2]) <= _MAX_SHOWN_SIDE:
        return image
    small = Image.fromarray(image)
    small.thumbnail((_MAX_SHOWN_SIDE, _MAX_SHOWN_SIDE))
    return np.asarray(small)


def _data_url(image: RgbImage) -> str:
    from .media.image_bytes import encode_rgb

    return "data:image/png;base64," + base64.b64encode(encode_rgb(image, ".png", quality=0)).decode()
