"""Process a video from Python: typed keyword options → a job → one call."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Unpack, get_type_hints

from .concurrent_jobs import ConcurrentJobs
from .engine import load_explainer
from .errors import OptionError
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


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """The result of one input of `process_all`: a summary or an error.

    Attributes:
        input: path or URL of the input.
        output: path of the result.
        summary: counts, times and the resolved options; None if the input failed.
        error: why it failed; None if it did not.
    """

    input: str
    output: str
    summary: Summary | None
    error: Exception | None


def process_all(
    files: Mapping[str, str] | Mapping[str | os.PathLike[str], str | os.PathLike[str]],
    **options: Unpack[JobKeywords],
) -> Generator[ProcessResult, None, None]:
    """Explain several videos with one loaded model, several at once.

        files = {clip: Path("out", clip.name) for clip in Path("clips").glob("*.mp4")}
        for result in streamcam.process_all(files, method="gradcam"):
            print(result.input, result.error or f"{result.summary.frames_out} frames")

    Results come as inputs end. An input that fails does not stop the others. The outputs are those of `process` on one
    input after another. Cores and memory decide how many run at once. Leaving the loop, or Ctrl-C, stops the inputs in
    progress; their outputs are playable. Unlike the command, this starts no process: a codec that crashes ends yours.

    Args:
        files: path or URL of each input, and path of its result.
        **options: as for `process`, the same for all.

    Raises:
        OptionError: unknown option, a value that cannot be used, or one result for two inputs; raised by the call.
        StreamcamError: the model cannot be loaded; raised by the loop.

    Warns:
        PreprocessWarning: the model's preprocessing is a guess.
    """
    if not isinstance(files, Mapping):
        raise OptionError(
            f"files is of type {type(files).__name__}", expected='outputs by input, such as {"clip.mp4": "heat.mp4"}'
        )
    jobs = [Job.from_options(one, output, **options) for one, output in files.items()]
    for path, count in Counter(job.sink.path for job in jobs).items():
        if count > 1:
            raise OptionError(f"{count} inputs have the same output {path}", expected="an output for each")
    if len(jobs) > 1 and jobs[0].sink.record not in (None, "auto"):
        raise OptionError("one record for several inputs", expected="record=True")
    return _process_jobs(jobs)


def _process_jobs(jobs: list[Job]) -> Generator[ProcessResult, None, None]:
    if not jobs:
        return
    explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True)
    for result in ConcurrentJobs(jobs, explainer):
        job = jobs[result.index]
        yield ProcessResult(job.source.url, str(job.sink.path), result.summary, result.error)


def render(
    record: str | os.PathLike[str], output: str | os.PathLike[str], **options: Unpack[RenderKeywords]
) -> Summary:
    """Draw a record again, without the model.

    The recorded source is read again; its size and a hash of its first and last MiB must be the recorded ones. Drawing,
    interpolation and scale are those of the recorded run, but for the options given.

    Args:
        record: folder of the record, as ``process(…, record=True)`` writes it.
        output: path of the result; its suffix chooses the container.
        **options: fields of `streamcam.options.DrawOptions` and of the encoding, ``interpolation`` and ``scale``;
            ``target``: recorded targets to draw; ``source``: the recorded source, if it has moved since.
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
process_all.__signature__ = _explicit_signature(process_all, JobKeywords, 1)  # type: ignore[attr-defined]
frames.__signature__ = _explicit_signature(frames, FramesKeywords, 1)  # type: ignore[attr-defined]
