"""Process a video from Python: typed keyword options → a job → one call."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator
from typing import Any, Unpack, get_type_hints

from .frame_iterator import FrameExplanation, iterate_frames
from .job import FramesJob, Job
from .keywords import FramesKeywords, JobKeywords, RenderKeywords
from .option_fields import option_fields
from .pipeline import run
from .prepare_render import make_render_job
from .summary import Summary


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


def render(
    record: str | os.PathLike[str], output: str | os.PathLike[str], **options: Unpack[RenderKeywords]
) -> Summary:
    """Draw a record again, without the model.

    The recorded source is read again; it must be the same file. Drawing, interpolation and scale are those of the
    recorded run, but for the options given.

    Args:
        record: folder of the record, as ``process(…, record="auto")`` writes it.
        output: path of the result; its suffix chooses the container.
        **options: fields of `streamcam.options.DrawOptions` and of the encoding, ``interpolation`` and ``scale``;
            ``target``: recorded targets to draw; ``source``: the recorded source, if it is elsewhere now.
            `streamcam.keywords.RenderKeywords` lists them.

    Returns:
        Counts, times and the options; those of the model are the recorded ones.

    Raises:
        StreamcamError: no record, a damaged one, another source; the message names the problem and a remedy.
    """
    return run(make_render_job(record, output, **options))


def frames(
    input: str | os.PathLike[str],  # noqa: A002
    **options: Unpack[FramesKeywords],
) -> Generator[FrameExplanation, None, None]:
    """Explain a video or camera, and yield its frames one by one.

        for frame in streamcam.frames("clip.mp4", method="gradcam"):
            print(frame.seconds, frame.classes[0], frame.attributions[0].heatmap.shape)

    A few frames are decoded and explained ahead of the loop. A camera yields its newest frame each time and drops the
    frames between, so that a slow loop does not fall behind. Leaving the loop closes the source; if the generator is
    kept elsewhere, call its ``close()``.

    Args:
        input: path or URL of a video, animation or image; or a camera: ``rtsp://``, ``rtmp://``, ``webcam``,
            ``/dev/video0``, ``lavfi:GRAPH``.
        **options: fields of the option objects in `streamcam.options`, as for `process`;
            `streamcam.keywords.FramesKeywords` lists them.

    Raises:
        OptionError: unknown option, or a value that cannot be used; raised by the call itself.
        StreamcamError: the source cannot be read, or the model cannot be explained; raised by the loop.

    Warns:
        PreprocessWarning: the model's preprocessing is a guess.
        UserWarning: maps are zero, so that nothing is drawn; after ten such frames or at the end, once a call.
    """
    return iterate_frames(FramesJob.from_options(input, **options))


def _explicit_signature(function: Callable[..., Any], keywords: type, num_positional: int) -> inspect.Signature:
    """Return the signature of a function with all its keywords, for ``help()``."""
    fields: dict[str, Any] = {}
    for part in option_fields(Job).values():
        fields |= option_fields(part.type)
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=fields[name].default, annotation=kind)
        for name, kind in get_type_hints(keywords).items()
    ]
    signature = inspect.signature(function)
    return signature.replace(parameters=[*list(signature.parameters.values())[:num_positional], *parameters])


process.__signature__ = _explicit_signature(process, JobKeywords, 2)  # type: ignore[attr-defined]
frames.__signature__ = _explicit_signature(frames, FramesKeywords, 1)  # type: ignore[attr-defined]
