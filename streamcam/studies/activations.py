"""Show the feature maps of layers through the depth of a network: `show_activations` returns `Activations`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StreamcamError
from ..frames import RgbImage
from ..notes import collect_notes, get_logger
from ..options import (
    DEFAULT_MODEL,
    ActivationOptions,
    ChannelScale,
    Colormap,
    ExplainOptions,
    Fit,
    ModelOptions,
    SourceOptions,
)
from .activation_results import ActivationStudy, LayerActivations
from .activation_statistics import ChannelStatistics, StatisticsAccumulator

if TYPE_CHECKING:
    from ..engine.graph.layer_info import LayerInfo
    from ..geometry import Size

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Activations(ActivationStudy):
    """The result of `show_activations`."""

    def sheet(self) -> RgbImage:
        """Draw the maps of the first frame; return uint8 ``(H, W, 3)`` RGB.

        Raises:
            OptionError: it would be too large.
        """
        from .activation_sheet import draw_first_frame

        return draw_first_frame(self)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the sheet, or a grid video of all frames.

        A video runs the model again, so that its colors cover the range of the whole input.

        Args:
            path: of the file: ``.png`` or ``.jpg`` for the sheet, that of a video or animation for the grid video.
            overwrite: replace an existing file.

        Raises:
            OptionError: another suffix, or the sheet would be too large.
            SinkError: the file exists, or cannot be written.
            SourceError: the input cannot be read again.
        """
        from .activation_files import save

        return save(self, Path(path), overwrite=overwrite)

    def _repr_png_(self) -> bytes:
        """Return the sheet, for notebooks."""
        from ..media.image_bytes import encode_rgb

        return encode_rgb(self.sheet(), ".png", quality=0)


def show_activations(
    input: Any,  # noqa: A002
    *,
    model: Any = DEFAULT_MODEL,
    layers: str | list[str] | tuple[str, ...] = "auto",
    channels: int = 32,
    scale: ChannelScale = "own",
    colormap: Colormap = "auto",
    preprocess: str | Callable[[Any], Any] | None = "auto",
    fit: Fit | Literal["auto"] = "auto",
    image_input: str = "",
    extra_input: Mapping[str, Any] | None = None,
    trust_model: bool = False,
    device: str = "auto",
    start: Fraction | float | None = None,
    end: Fraction | float | None = None,
) -> Activations:
    """Read feature maps of layers through the depth of a network.

        activations = streamcam.show_activations("cat.jpg", model="ResNet50")
        activations.layers[0].statistics.dead, activations.layers[0].maps
        activations.save("sheet.png")

    One forward pass returns all layers, in float32. Statistics are accumulated frame by frame, so that a long video
    needs no more memory than a short one.

    Args:
        input: path or URL of an image, video or animation; or images as for `streamcam.Explainer.explain`.
        model: as for `streamcam.Explainer`.
        layers: ``auto``, the last layer of each resolution; or paths of layers, as a list or joined by commas.
        channels: most channels of a layer to draw: those of the largest mean activation.
        scale: colors by the range of each channel (``own``) or of its layer (``shared``), over the whole input.
        colormap: a Matplotlib name; ``auto`` suits the layer.
        preprocess: as for `streamcam.Explainer`.
        fit: how frames are fitted into the model's input.
        image_input: name of the input that takes the images, for models with several.
        extra_input: values of the other inputs.
        trust_model: as ``--trust-model``.
        device: ``auto``, ``cpu`` or ``gpu:0``; of several, the first is used.
        start: begin at this time, in seconds.
        end: end before this time.

    Raises:
        OptionError: an argument is invalid.
        LayerError: a layer does not exist or has no feature map.
        SourceError: the input cannot be read.
        StreamcamError: the model cannot be loaded or run.
    """
    options = ActivationOptions(
        layers=layers if isinstance(layers, str) else ",".join(layers),
        channels=channels,
        scale=scale,
        colormap=colormap,
    )
    model_options = ModelOptions(
        model=model,
        preprocess=preprocess,
        fit=fit,
        image_input=image_input,
        extra_input=extra_input or {},
        trust_model=trust_model,
    )
    source: Any = input
    if isinstance(input, (str, os.PathLike)):
        source = SourceOptions(url=os.fspath(input), start=start, end=end)
    return read_activations(source, model_options, options, device=device)


def read_activations(
    source: Any,
    model: ModelOptions,
    options: ActivationOptions,
    *,
    device: str = "auto",
    on_frame: Callable[[], None] = lambda: None,
) -> Activations:
    """Read the feature maps of an input and accumulate their statistics.

    Args:
        source: `SourceOptions`, or images as for `streamcam.Explainer.explain`.
        model: the model.
        options: the layers, and how `Activations.sheet` draws them.
        device: as for `show_activations`.
        on_frame: called after each frame.

    Raises:
        StreamcamError: see `show_activations`.
    """
    from .activation_frames import ActivationReader

    notes: list[str] = []
    with collect_notes(notes.append):
        reader = ActivationReader.open(source, model, ExplainOptions(device=device), options.layer_names)
        for note in reader.notes:
            logger.info("%s", note)
        accumulators: list[StatisticsAccumulator] = []
        first: tuple[RgbImage, list[NDArray[np.float32]]] | None = None
        num_frames = num_failed = 0
        for frame, maps in reader.read(report=True):
            on_frame()
            if not all(np.isfinite(one).all() for one in maps):
                num_failed += 1
                continue
            if first is None:
                assert frame.model_input is not None
                first = frame.model_input, [one.copy() for one in maps]
                accumulators = [StatisticsAccumulator(one.shape[:2], one.shape[2]) for one in maps]
            for accumulator, one in zip(accumulators, maps, strict=True):
                accumulator.add(one)
            num_frames += 1
        if first is None:
            raise StreamcamError(
                f"the activations of all frames of {reader.name} are not finite",
                hint="check the weights and --preprocess",
            )
        if num_failed:
            logger.info(
                "%d of %d frames are omitted: their activations are not finite", num_failed, num_frames + num_failed
            )
        found = [
            _layer_activations(row, reader.size, accumulator.result(), first_maps)
            for row, accumulator, first_maps in zip(reader.layers, accumulators, first[1], strict=True)
        ]
    return Activations(
        layers=tuple(found),
        image=first[0],
        num_frames=num_frames,
        input=reader.name,
        model=reader.model,
        notes=tuple(dict.fromkeys(notes)),
        options=options,
        reader=reader,
    )


def _layer_activations(
    row: LayerInfo, size: Size, statistics: ChannelStatistics, maps: NDArray[np.float32]
) -> LayerActivations:
    rows, columns = maps.shape[:2]
    stride = row.stride(size)
    assert stride is not None
    if statistics.noise_threshold is None:
        logger.info("%s: maps of %dx%d are too small to distinguish noise", row.path, columns, rows)
    return LayerActivations(row.path, row.kind, (rows, columns), stride, statistics, maps)
