"""Write feature maps: a sheet as an image, or a grid video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnknownFormatError
from ..media.rgb import from_rgb
from ..notebook import save_images
from ..notes import get_logger
from ..options import SinkOptions
from ..sinks import SINKS, open_sink
from ..sinks.paths import check_output_path
from ..sources.normalize import FrameNormalizer
from .activation_sheet import ActivationSheet, draw_first_frame

if TYPE_CHECKING:
    from .activation_frames import ActivationReader
    from .activation_results import ActivationStudy

logger = get_logger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def check_output(path: Path, *, overwrite: bool, input_name: str) -> None:
    """Check an output before the model loads.

    Raises:
        UnknownFormatError: unknown suffix.
        SinkError: the file exists, or cannot be written.
    """
    if path.suffix.lower() not in SINKS:
        raise UnknownFormatError(
            f"{path} has the suffix {path.suffix!r}" if path.suffix else f"{path} has no suffix",
            expected=f"one of {', '.join(SINKS)}",
        )
    check_output_path(path, overwrite=overwrite, inputs=[input_name])


def save(
    study: ActivationStudy,
    path: Path,
    *,
    overwrite: bool,
    on_frame: Callable[[], None] = lambda: None,
) -> Path:
    """Write a sheet or a grid video, as the suffix says.

    Args:
        study: the study; a video reads its input again.
        path: of the file.
        overwrite: replace an existing file.
        on_frame: called after each frame of a video.

    Raises:
        StreamcamError: see `streamcam.studies.activations.Activations.save`.
    """
    check_output(path, overwrite=overwrite, input_name=study.input)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        save_images([draw_first_frame(study)], path, overwrite=overwrite)
        return path
    sheet = ActivationSheet(study, study.options)
    _save_video(sheet, study.reader, SinkOptions(path=path, overwrite=overwrite), on_frame)
    return path


def _save_video(
    sheet: ActivationSheet, reader: ActivationReader, options: SinkOptions, on_frame: Callable[[], None]
) -> None:
    width, height = sheet.size
    normalizer = FrameNormalizer(from_rgb(np.zeros((height, width, 3), np.uint8)), reader.info.time_base)
    info = replace(
        reader.info,
        width=width,
        height=height,
        pixel_format=normalizer.pixel_format,
        color=normalizer.color,
        pixel_aspect=Fraction(1),
        passthrough_streams=(),
    )
    with open_sink(options, info) as sink:
        for frame, maps in reader.read():
            assert frame.model_input is not None
            seconds = float(frame.pts * info.time_base)
            drawn = sheet.draw(frame.model_input, maps, f"Frame {frame.index}, {seconds:.2f} s")
            sink.write(normalizer(from_rgb(drawn)), frame.pts)
            on_frame()
    for note in sink.notes:
        logger.info("%s", note)
