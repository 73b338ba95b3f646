"""``streamcam process``: videos in, annotated videos out."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .inputs import expand, is_url, outputs
from .reporting import complain, say, understood

if TYPE_CHECKING:
    from ..config import Job
    from ..pipeline import Summary

_MODEL, _LOOK, _FILE = options.MODEL_PANEL, options.LOOK_PANEL, "Reading and writing"


def process(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Video, image, folder, glob or URL.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File, or folder/ for several inputs.", rich_help_panel=_FILE),
    ] = None,
    model: options.Model = "efficientnet-lite0",
    method: options.Method = "gradcam",
    param: options.Param = None,
    layer: options.Layer = "auto",
    target: options.Target = None,
    preprocess: options.Preprocess = "auto",
    labels: options.Labels = "auto",
    image_input: options.ImageInput = "",
    feed: options.Feed = None,
    fit: options.Fit = "auto",
    batch: Annotated[
        str,
        typer.Option(help="Frames per model call; auto: 8, or the fastest for long sources.", rich_help_panel=_MODEL),
    ] = "auto",
    precision: options.Precision = "auto",
    device: options.Device = "auto",
    every: Annotated[
        str,
        typer.Option(
            help="Explain every N-th frame, or with auto those whose picture has changed.",
            metavar="N|auto",
            rich_help_panel=_MODEL,
        ),
    ] = "1",
    change: Annotated[
        float,
        typer.Option(
            help="For --every auto: how much a part of the picture must have changed, 0 to 1 (black to white).",
            rich_help_panel=_MODEL,
        ),
    ] = 0.14,
    between: Annotated[
        str,
        typer.Option(
            help="Maps of the frames between: hold the last, mix it with the next (linear), or move both with the "
            "picture (flow).",
            rich_help_panel=_MODEL,
        ),
    ] = "hold",
    colormap: options.Colormap = "turbo",
    alpha: options.Alpha = 0.6,
    scale: Annotated[
        str,
        typer.Option(
            help="Evidence drawn as full: running (largest so far), frame (each frame's own), or a number.",
            rich_help_panel=_LOOK,
        ),
    ] = "running",
    layout: options.Layout = "overlay",
    caption: options.Caption = True,
    start: Annotated[
        str | None, typer.Option(help="Begin at this time: 90, 1:30 or 0:01:30.5.", rich_help_panel=_FILE)
    ] = None,
    end: Annotated[str | None, typer.Option(help="End before this time.", rich_help_panel=_FILE)] = None,
    codec: Annotated[
        str | None,
        typer.Option(help="h264, hevc, av1, vp9 or ffv1; by default what suits the file.", rich_help_panel=_FILE),
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Constant quality; lower is better.", rich_help_panel=_FILE)] = None,
    preset: Annotated[
        str | None, typer.Option(help="Encoder speed, as the codec names it.", rich_help_panel=_FILE)
    ] = None,
    decode: Annotated[str, typer.Option(help="cpu, or gpu: NVDEC, where there is one.", rich_help_panel=_FILE)] = "cpu",
    encode: Annotated[str, typer.Option(help="cpu, or gpu: NVENC, where there is one.", rich_help_panel=_FILE)] = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_FILE)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_FILE)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_FILE)] = False,
) -> None:
    """Show where the model looks in every frame of a video.

    By default the result is <stem>.<method>.mp4 in the working directory (.png for an image). An existing file is
    never replaced without --overwrite.
    """
    from ..config import make_job
    from ..methods import METHODS, method_name
    from ..sinks import check_apart

    given: dict[str, Any] = {
        **options.model_options(
            model=model,
            method=method,
            param=param,
            layer=layer,
            target=target,
            preprocess=preprocess,
            labels=labels,
            image_input=image_input,
            feed=feed,
            fit=fit,
            batch=batch,
            precision=precision,
            device=device,
        ),
        "every": int(every) if every.strip().isdecimal() else every,
        "change": change,
        "between": between,
        "colormap": colormap,
        "alpha": alpha,
        "scale": options.scale_of(scale),
        "layout": layout,
        "caption": caption,
        "start": options.seconds_of(start),
        "end": options.seconds_of(end),
        "codec": codec,
        "crf": crf,
        "preset": preset,
        "decode": decode,
        "encode": encode,
        "overwrite": overwrite,
    }
    sources = expand(inputs, [*METHODS, method_name(method)])
    results = outputs(sources, output, method_name(method))
    jobs = [make_job(source, str(path), **given) for source, path in zip(sources, results, strict=True)]
    if overwrite:
        read = [source.removeprefix("file://") for source in sources]
        for path in results:
            check_apart(path, read, "-o")
    if output is not None and output.endswith("/"):
        Path(output).mkdir(parents=True, exist_ok=True)
    _run(jobs, as_json=as_json, quiet=quiet)


def _run(jobs: list[Job], *, as_json: bool, quiet: bool) -> None:
    """Takes the jobs one after another with one loaded model; one that fails does not stop the others."""
    from ..engine import load_explainer
    from ..pipeline import Interrupted, Watcher, run
    from .progress import Bar

    done: list[Summary] = []
    failed: list[dict[str, str]] = []
    interrupted = False
    explainer = load_explainer(jobs[0].model, jobs[0].explain, shared=True) if len(jobs) > 1 else None
    said: set[str] = set()

    def note(bar: Bar, line: str) -> None:
        """What holds for the model is said once, what holds for an input each time."""
        of_the_model = explainer is not None and line in explainer.notes
        if not quiet and not (of_the_model and line in said):
            said.add(line)
            bar.say(line)

    for job in jobs:
        name = _short(job.source.url)
        try:
            with Bar(name, quiet=quiet) as bar:
                watcher = Watcher(
                    opened=bar.opened,
                    ready=bar.ready,
                    frame=bar.frame,
                    passes=bar.passes,
                    note=functools.partial(note, bar),
                )
                done.append(run(job, explainer=explainer, watcher=watcher))
        except Interrupted as stop:
            done.append(stop.summary)
            interrupted = True
        except Exception as error:
            if len(jobs) == 1:
                raise
            line = str(understood(error))
            complain(f"{name}: {line}")
            failed.append({"input": name, "error": line})
            continue
        if not quiet:
            say(_told(done[-1]))
        if interrupted:
            break
    if as_json:
        results = [summary.as_dict() for summary in done]
        typer.echo(json.dumps(results[0] if len(jobs) == 1 else {"results": results, "failed": failed}))
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise typer.Exit(1)


def _told(summary: Summary) -> str:
    skipped = f", {summary.frames_skipped} could not be decoded" if summary.frames_skipped else ""
    stopped = ", interrupted" if summary.interrupted else ""
    return f"{summary.output}: {summary.frames_out} frames at {summary.fps:.1f} fps{skipped}{stopped}"


def _short(url: str) -> str:
    return url.rpartition("@")[2] if is_url(url) else Path(url).name
