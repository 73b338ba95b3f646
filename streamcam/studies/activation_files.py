"""Write feature maps: a sheet as an image, or a grid video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnknownFormatError
from ..notebook import save_images
from ..options import SinkOptions
from ..sinks import SINKS
from ..sinks.paths import check_output_path
from .activation_sheet import ActivationSheet, draw_first_frame
from .drawn_video import open_drawn_video

if TYPE_CHECKING:
    from .activation_frames import ActivationReader
    from .activation_results import ActivationStudy

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
    info = reader.info
    with open_drawn_video(options, info, sheet.size) as write:
        for frame, maps in reader.read():
            assert frame.model_input is not None
            seconds = float(frame.pts * info.time_base)
            write(sheet.draw(frame.model_input, maps, f"Frame {frame.index}, {seconds:.2f} s"), frame.pts)
            on_frame()
