"""A video of learning: how the map of each validation image moved over the epochs of a folder log."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..compose.training_sheet import Curve, CurveStrip
from ..errors import OptionError, SourceError, UnknownFormatError, did_you_mean
from ..frames import RgbImage, SourceInfo
from ..imports import expand_path
from ..media.rgb import from_rgb
from ..notes import get_logger
from ..options import Colormap, DrawOptions, EvolutionOptions, SinkOptions
from ..sinks import SINKS, open_sink
from ..sources.normalize import FrameNormalizer
from .drawing import ImageGrid, format_epoch
from .folder_log import FolderLog, LoggedMaps, read_folder_log

logger = get_logger(__name__)

_STEP_SECONDS, _MAX_SECONDS, _LAST_SECONDS = 0.5, 30.0, 1.5
_STRIP_HEIGHT, _BACKGROUND = 150, 24
_SUFFIXES = tuple(suffix for suffix, sink in SINKS.items() if "image_file" not in sink)


@dataclass(frozen=True, slots=True)
class Evolution:
    """A video of learning.

    Attributes:
        output: its file.
        method: the method, with its target if there are several.
        layer: path of the target layer.
        epochs: first and last epoch.
        explanations: explanations shown.
        images: validation images shown.
        frames: frames written.
        seconds: length of the video.
        vmax: attribution drawn at full strength.
    """

    output: str
    method: str
    layer: str
    epochs: tuple[float, float]
    explanations: int
    images: int
    frames: int
    seconds: float
    vmax: float


def write_evolution(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    method: str = "",
    images: int = 16,
    step_seconds: float = 0.0,
    fps: int = 25,
    interpolation: Literal["linear", "hold"] = "linear",
    alpha: float = 0.6,
    colormap: Colormap = "auto",
    overwrite: bool = False,
) -> Evolution:
    """Write a video of how the maps moved over a training.

    All frames have one scale: the largest of the run. Needs no TensorFlow and no model.

    Args:
        folder: that a ``folder:DIR`` logger of `ExplainCallback` wrote.
        output: video or animation: ``.mp4``, ``.webm``, ``.gif``, ….
        method: method in the log; empty for the first.
        images: most validation images to show.
        step_seconds: seconds of each explanation; 0 chooses.
        fps: frames a second.
        interpolation: ``linear``, or ``hold``.
        alpha: opacity of full attribution, 0–1.
        colormap: a name of Matplotlib; ``auto`` suits the method.
        overwrite: replace an existing file.

    Raises:
        SourceError: the folder is no training log, or has fewer than two explanations.
        OptionError: an argument cannot be used.
        SinkError: the file exists, or cannot be written.
    """
    options = EvolutionOptions(
        method=method,
        images=images,
        step_seconds=step_seconds,
        fps=fps,
        interpolation=interpolation,
        alpha=alpha,
        colormap=colormap,
    )
    return draw_evolution(Path(folder), Path(output), options, overwrite=overwrite)


def draw_evolution(
    folder: Path,
    output: Path,
    options: EvolutionOptions,
    *,
    overwrite: bool,
    on_frame: Callable[[], None] = lambda: None,
) -> Evolution:
    """Write the video of a log; see `write_evolution`.

    Args:
        folder: of the log.
        output: the file.
        options: what to show.
        overwrite: replace an existing file.
        on_frame: called after each frame.

    Raises:
        StreamcamError: see `write_evolution`.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise UnknownFormatError(
            f"{output} has the suffix {output.suffix!r}", expected=f"one of {', '.join(_SUFFIXES)}"
        )
    log = read_folder_log(expand_path(folder))
    key, explanations = _select(log, options.method)
    frames = _EvolutionFrames(log, explanations, options)
    num_frames, time_base = frames.count, Fraction(1, options.fps)
    first = frames.draw(0, 0.0)
    normalizer = FrameNormalizer(from_rgb(first), time_base)
    info = SourceInfo(
        name=str(folder),
        width=normalizer.width,
        height=normalizer.height,
        pixel_format=normalizer.pixel_format,
        time_base=time_base,
        color=normalizer.color,
        average_fps=Fraction(options.fps),
        num_frames=num_frames,
        duration_seconds=num_frames / options.fps,
    )
    with open_sink(SinkOptions(path=output, overwrite=overwrite), info) as sink:
        for number, image in enumerate(frames):
            sink.write(normalizer(from_rgb(image)), number)
            on_frame()
    for note in sink.notes:
        logger.info("%s", note)
    return Evolution(
        output=str(output),
        method=key,
        layer=explanations[0].layer,
        epochs=(explanations[0].epoch, explanations[-1].epoch),
        explanations=len(explanations),
        images=frames.num_images,
        frames=num_frames,
        seconds=num_frames / options.fps,
        vmax=frames.vmax,
    )


def _select(log: FolderLog, method: str) -> tuple[str, list[LoggedMaps]]:
    """Return a method of the log, and its explanations."""
    if not log.keys:
        raise SourceError(
            f"{log.folder} has no explanations yet", hint="start the training, or wait for its first epoch"
        )
    if method and method not in log.keys:
        raise OptionError(
            f"unknown --method {method!r}",
            expected=f"one of {', '.join(log.keys)}",
            hint=did_you_mean(method, log.keys),
        )
    key = method or log.keys[0]
    found = [one for one in log.explanations if one.key == key]
    if len(found) < 2:
        raise SourceError(
            f"{log.folder} has one explanation by {key}",
            expected="two or more, such as those before and after an epoch",
        )
    return key, found


class _EvolutionFrames:
    """The frames of a video of learning, one after another.

    Attributes:
        num_images: validation images shown.
        vmax: attribution drawn at full strength.
        count: number of frames.
    """

    def __init__(self, log: FolderLog, explanations: Sequence[LoggedMaps], options: EvolutionOptions) -> None:
        images = log.images()[: options.images]
        self.num_images = len(images)
        self._log, self._explanations, self._is_linear = log, explanations, options.interpolation == "linear"
        self.vmax = max(one.vmax for one in explanations)
        expected = list(log.run.get("expected") or ())[: self.num_images]
        self._grid = ImageGrid(images, expected, DrawOptions(alpha=options.alpha, colormap=options.colormap))
        seconds = options.step_seconds or min(_STEP_SECONDS, _MAX_SECONDS / len(explanations))
        self._per_step = max(1, round(seconds * options.fps))
        self._last = max(self._per_step, round(_LAST_SECONDS * options.fps))
        self.count: int = self._per_step * (len(explanations) - 1) + self._last
        self._loaded: dict[int, NDArray[np.float32]] = {}
        self._strip: CurveStrip | None = None
        self._curves = find_curves(log.epochs)

    def __iter__(self) -> Iterator[RgbImage]:
        for number in range(len(self._explanations) - 1):
            held: RgbImage | None = None
            for step in range(self._per_step):
                part = self._moved(step / self._per_step)
                if part > 0:
                    yield self.draw(number, part)
                else:
                    held = self.draw(number, 0.0) if held is None else held
                    yield held
        last = self.draw(len(self._explanations) - 1, 0.0)
        for _ in range(self._last):
            yield last

    def _moved(self, part: float) -> float:
        """Return how far maps have moved after a part of the time."""
        return max(0.0, 2 * part - 1) if self._is_linear else 0.0

    def draw(self, number: int, part: float) -> RgbImage:
        """Draw an explanation, moved a part of the way to the next."""
        one = self._explanations[number]
        maps, epoch = self._maps(number), one.epoch
        if part > 0:
            after = self._explanations[number + 1]
            if (other := self._maps(number + 1)).shape == maps.shape:
                maps = maps + np.float32(part) * (other - maps)
            epoch += part * (after.epoch - epoch)
        overlays = self._grid.overlays(maps, self.vmax, one.map_kind)
        probabilities = [math.nan if value is None else value for value in one.probabilities[: self.num_images]]
        captions = self._grid.captions(one.predicted[: self.num_images], probabilities)
        origin = one.key if one.layer == "input" else f"{one.key} at {one.layer}"
        image = self._grid.grid(overlays, captions, f"{format_epoch(one.epoch)}   {origin}, full color {self.vmax:g}")
        if self._curves:
            if self._strip is None:
                span = self._explanations[0].epoch, max(self._explanations[-1].epoch, *self._log.epochs)
                self._strip = CurveStrip((image.shape[1], _STRIP_HEIGHT), self._curves, span)
            image = np.concatenate([image, self._strip.draw(epoch)])
        padding = [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)]
        return np.pad(image, padding, constant_values=_BACKGROUND)

    def _maps(self, number: int) -> NDArray[np.float32]:
        if number not in self._loaded:
            self._loaded = {n: maps for n, maps in self._loaded.items() if n >= number - 1}
            maps = self._log.maps(self._explanations[number])[: self.num_images]
            if len(maps) != self.num_images:
                raise SourceError(f"{self._log.folder / self._explanations[number].file} has {len(maps)} maps")
            self._loaded[number] = maps
        return self._loaded[number]


def find_curves(epochs: Mapping[int, Mapping[str, float]]) -> list[Curve]:
    """Return the curves of loss and accuracy, those of the validation dashed.

    Args:
        epochs: what Keras reported after each epoch.
    """
    names = list(dict.fromkeys(name for logs in epochs.values() for name in logs))
    accuracy = next((name for name in names if "acc" in name and not name.startswith("val_")), "")
    curves = []
    for name, color in (("loss", 0), ("val_loss", 0), (accuracy, 1), (f"val_{accuracy}", 1)):
        points = tuple((float(epoch), logs[name]) for epoch, logs in epochs.items() if _is_finite(logs.get(name)))
        if points:
            curves.append(Curve(name, points, color, is_dashed=name.startswith("val_")))
    return curves


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
