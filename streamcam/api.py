"""Process a video from Python: typed keyword options → a `Job` → one call."""

from __future__ import annotations

import inspect
import os
from typing import Any, Unpack, get_type_hints

from .job import Job
from .keywords import JobKeywords
from .option_fields import option_fields
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
        Counts, times and the resolved options.

    Raises:
        StreamcamError: the job cannot be done; the message names the problem and a remedy.
    """
    return run(Job.from_options(input, output, **options))


def _explicit_signature() -> inspect.Signature:
    """Return the signature of `process` with all keywords, for ``help()``."""
    fields: dict[str, Any] = {}
    for part in option_fields(Job).values():
        fields |= option_fields(part.type)
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=fields[name].default, annotation=kind)
        for name, kind in get_type_hints(JobKeywords).items()
    ]
    signature = inspect.signature(process)
    return signature.replace(parameters=[*list(signature.parameters.values())[:2], *keywords])


process.__signature__ = _explicit_signature()  # type: ignore[attr-defined]
