"""The Python face of the road: flat keyword options → a `Job` → one call."""

from __future__ import annotations

import os
from typing import Any

from .options import make_job
from .pipeline import Summary, run


def process(input: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any) -> Summary:  # noqa: A002
    """Explains every frame of a video and writes the annotated video.

    Args:
        input: path or URL of a video, animation or image.
        output: path of the result; its suffix chooses the container.
        **options: fields of the option objects in `streamcam.options`, such as ``method="gradcam"``, ``layer="auto"``,
            ``target="top"``, ``every=2``, ``fit="crop"``, ``layout="side-by-side"``, ``overwrite=True``.

    Returns:
        Counts, times and what was computed.

    Raises:
        StreamcamError: something cannot be done; says what, and what to do.
    """
    return run(make_job(os.fspath(input), os.fspath(output), **options))
