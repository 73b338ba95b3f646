"""Files of a study of filters: the sheet as an image, or its ascent as a video."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ...errors import OptionError, UnknownFormatError
from ...sinks import SINKS
from ...sinks.paths import check_output_path
from .filter_image import FilterImage
from .sheet import draw_ascent, draw_result

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


def save(
    path: Path, filters: Sequence[FilterImage], history_steps: Sequence[int], title: str, *, overwrite: bool
) -> None:
    """Write the sheet or the ascent, as the suffix says.

    Args:
        path: file to write.
        filters: their last images, and those of the history.
        history_steps: steps of the history.
        title: of a video.
        overwrite: replace an existing file.

    Raises:
        StreamcamError: see `FilterStudy.save`.
    """
    check_output(path, overwrite=overwrite)
    if is_video(path):
        _save_video(path, filters, history_steps, title, overwrite=overwrite)
        return
    from ...notebook import save_images

    save_images([draw_result(filters)], path, overwrite=overwrite)


def _save_video(
    path: Path, filters: Sequence[FilterImage], history_steps: Sequence[int], title: str, *, overwrite: bool
) -> None:
    from ...frames import SourceInfo
    from ...options import SinkOptions
    from ..drawn_video import open_drawn_video

    if not history_steps:
        raise OptionError(
            f"{path} shows the steps, and the study kept none", hint=f"call visualize_filters(history={VIDEO_HISTORY})"
        )
    sheet = draw_result(filters)
    height, width = sheet.shape[:2]
    num_frames = len(history_steps) + _LAST_FRAMES
    info = SourceInfo(
        title, width, height, "yuv420p", Fraction(1, _FPS), average_fps=Fraction(_FPS), num_frames=num_frames
    )
    with open_drawn_video(SinkOptions(path=path, overwrite=overwrite), info, (width, height)) as write:
        frames = itertools.chain(draw_ascent(filters, history_steps), itertools.repeat(sheet, _LAST_FRAMES - 1))
        for pts, drawn in enumerate(frames):
            write(drawn, pts)
