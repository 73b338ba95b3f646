"""Process a video from Python: typed keyword options → a `Job` → one call."""

from __future__ import annotations

import os
from typing import Unpack

from .job import Job
from .keywords import JobKeywords
from .pipeline import Summary, run


def process(
    input: str | os.PathLike[str],  # noqa: A002
    output: str | os.PathLike[str],
    **options: Unpack[JobKeywords],
) -> Summary:
    """Explain every frame of a video and write the annotated video.

    Args:
        input: path or URL of a video, animation or image.
        output: path of the result; its suffix chooses the container.
        **options: fields of the option objects in `streamcam.options`, such as ``method="gradcam"``, ``layer="auto"``,
            ``target="top"``, ``every=2``, ``fit="crop"``, ``layout="side-by-side"``, ``overwrite=True``;
            `streamcam.keywords.JobKeywords` lists them.

    Returns:
        Counts, times and what was computed.

    Raises:
        StreamcamError: the job cannot be done; the message names the problem and a remedy.
    """
    return run(Job.from_options(input, output, **options))
