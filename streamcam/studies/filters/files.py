"""Files of a study of filters: the sheet as an image, or its ascent as a video."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import OptionError, UnknownFormatError
from ...sinks import SINKS
from ...sinks.paths import check_output_path

if TYPE_CHECKING:
    from .result import FilterStudy

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

VIDEO_HISTORY = 128
"""Images of each filter in a video: about five seconds."""

_FPS = 25
_LAST_FRAMES = 50
"""Frames that show the result at the end of a video."""


def is_video(path: Path) -> bool:
    """Return True for the suffix of a video or an animation."""
    return path.suffix.lower() not in _IMAGE_SUFFIXES


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written.

    Raises:
        UnknownFormatError: unknown suffix.
        SinkError: it exists already, or its folder cannot be written to.
    """
    if path.suffix.lower() not in SINKS:
        raise UnknownFormatError(f"{path} has the suffix {path.suffix!r}", expected=f"one of {', '.join(SINKS)}")
    check_output_path(path, overwrite=overwrite)


def save(study: FilterStudy, path: Path, *, overwrite: bool) -> None:
    """Write the sheet or the ascent, as the suffix says.

    Raises:
        StreamcamError: see `FilterStudy.save`.
    """
    check_output(path, overwrite=overwrite)
    if is_video(path):
        _save_video(study, path, overwrite=overwrite)
        return
    from ...notebook import save_images

    save_images([study.sheet()], path, overwrite=overwrite)


def _save_video(study: FilterStudy, path: Path, *, overwrite: bool) -> None:
    from ...frames import SourceInfo
    from ...options import SinkOptions
    from ..drawn_video import open_drawn_video
    from .sheet import draw_ascent

    if not study.history_steps:
        raise OptionError(
            f"{path} shows the steps, and the study kept none", hint=f"call visualize_filters(history={VIDEO_HISTORY})"
        )
    sheet = study.sheet()
    height, width = sheet.shape[:2]
    num_frames = len(study.history_steps) + _LAST_FRAMES
    info = SourceInfo(
        study.model, width, height, "yuv420p", Fraction(1, _FPS), average_fps=Fraction(_FPS), num_frames=num_frames
    )
    with open_drawn_video(SinkOptions(path=path, overwrite=overwrite), info, (width, height)) as write:
        for pts, drawn in enumerate(itertools.chain(draw_ascent(study), itertools.repeat(sheet, _LAST_FRAMES - 1))):
            write(drawn, pts)
