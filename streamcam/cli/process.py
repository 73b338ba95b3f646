"""``streamcam process``: videos in, annotated videos out."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .errors import print_error, print_note, to_streamcam_error
from .inputs import expand_inputs, is_url, output_paths

if TYPE_CHECKING:
    from ..options import Job
    from ..pipeline import Summary

_MODEL_PANEL, _DRAW_PANEL, _FILE_PANEL = options.MODEL_PANEL, options.DRAW_PANEL, "Reading and writing"


def process(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Video, image, folder, glob or URL.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File, or folder/ for several inputs.", rich_help_panel=_FILE_PANEL),
    ] = None,
    model: options.Model = "efficientnet-lite0",
    method: options.Method = "gradcam",
    param: options.Param = None,
    layer: options.Layer = "auto",
    target: options.Target = None,
    preprocess: options.Preprocess = "auto",
    labels: options.Labels = "auto",
    image_input: options.ImageInput = "",
    extra_input: options.ExtraInput = None,
    fit: options.Fit = "auto",
    batch: Annotated[
        str,
        typer.Option(
            help="Frames per model call; auto: 8, or the fastest for long sources.", rich_help_panel=_MODEL_PANEL
        ),
    ] = "auto",
    precision: options.Precision = "auto",
    device: options.Device = "auto",
    every: Annotated[
        str,
        typer.Option(
            help="Explain every N-th frame, or with auto those whose picture has changed.",
            metavar="N|auto",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = "1",
    change_threshold: Annotated[
        float,
        typer.Option(
            help="For --every auto: how much a part of the picture must have changed, 0 to 1 (black to white).",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = 0.14,
    interpolation: Annotated[
        str,
        typer.Option(
            help="Maps of the frames between: hold the last, mix it with the next (linear), or move both with the "
            "picture (flow).",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = "hold",
    colormap: options.Colormap = "turbo",
    alpha: options.Alpha = 0.6,
    scale: Annotated[
        str,
        typer.Option(
            help="Evidence drawn as full: running (largest so far), frame (each frame's own), or a number.",
            rich_help_panel=_DRAW_PANEL,
        ),
    ] = "running",
    layout: options.Layout = "overlay",
    caption: options.Caption = True,
    start: Annotated[
        str | None, typer.Option(help="Begin at this time: 90, 1:30 or 0:01:30.5.", rich_help_panel=_FILE_PANEL)
    ] = None,
    end: Annotated[str | None, typer.Option(help="End before this time.", rich_help_panel=_FILE_PANEL)] = None,
    codec: Annotated[
        str | None,
        typer.Option(help="h264, hevc, av1, vp9 or ffv1; by default what suits the file.", rich_help_panel=_FILE_PANEL),
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Constant quality; lower is better.", rich_help_panel=_FILE_PANEL)
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Encoder speed, as the codec names it.", rich_help_panel=_FILE_PANEL)
    ] = None,
    decoder: Annotated[
        str, typer.Option(help="cpu, or gpu: NVDEC, where there is one.", rich_help_panel=_FILE_PANEL)
    ] = "cpu",
    encoder: Annotated[
        str, typer.Option(help="cpu, or gpu: NVENC, where there is one.", rich_help_panel=_FILE_PANEL)
    ] = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_FILE_PANEL)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_FILE_PANEL)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_FILE_PANEL)] = False,
) -> None:
    """Show where the model looks in every frame of a video.

    By default the result is <stem>.<method>.mp4 in the working directory (.png for an image). An existing file is
    never replaced without --overwrite.
    """
    from ..methods import METHODS, method_name
    from ..options import make_job
    from ..sinks import check_not_input

    option_values: dict[str, Any] = {
        **options.model_options(
            model=model,
            method=method,
            param=param,
            layer=layer,
            target=target,
            preprocess=preprocess,
            labels=labels,
            image_input=image_input,
            extra_input=extra_input,
            fit=fit,
            batch=batch,
            precision=precision,
            device=device,
        ),
        "every": int(every) if every.strip().isdecimal() else every,
        "change_threshold": change_threshold,
        "interpolation": interpolation,
        "colormap": colormap,
        "alpha": alpha,
        "scale": options.parse_scale(scale),
        "layout": layout,
        "caption": caption,
        "start": options.parse_duration(start),
        "end": options.parse_duration(end),
        "codec": codec,
        "crf": crf,
        "preset": preset,
        "decoder": decoder,
        "encoder": encoder,
        "overwrite": overwrite,
    }
    sources = expand_inputs(inputs, [*METHODS, method_name(method)])
    results = output_paths(sources, output, method_name(method))
    jobs = [make_job(source, str(path), **option_values) for source, path in zip(sources, results, strict=True)]
    if overwrite:
        input_paths = [source.removeprefix("file://") for source in sources]
        for path in results:
            check_not_input(path, input_paths, "-o")
    if output is not None and output.endswith("/"):
        Path(output).mkdir(parents=True, exist_ok=True)
    _run(jobs, as_json=as_json, quiet=quiet)


def _run(jobs: list[Job], *, as_json: bool, quiet: bool) -> None:
    """Takes the jobs one after another with one loaded model; one that fails does not stop the others."""
    from ..engine import load_explainer
    from ..pipeline import Interrupted, RunCallbacks, run
    from .progress import ProgressBar

    done: list[Summary] = []
    failed: list[dict[str, str]] = []
    interrupted = False
    explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True) if len(jobs) > 1 else None
    printed: set[str] = set()

    def print_once(progress_bar: ProgressBar, line: str) -> None:
        """What holds for the model is said once, what holds for an input each time."""
        is_model_note = explainer is not None and line in explainer.notes
        if not quiet and not (is_model_note and line in printed):
            printed.add(line)
            progress_bar.print_line(line)

    for job in jobs:
        name = _short_name(job.source.url)
        try:
            with ProgressBar(name, quiet=quiet) as progress_bar:
                callbacks = RunCallbacks(
                    on_open=progress_bar.on_open,
                    on_ready=progress_bar.ready,
                    on_frame=progress_bar.frame,
                    on_pass=progress_bar.passes,
                    on_note=functools.partial(print_once, progress_bar),
                )
                done.append(run(job, explainer=explainer, callbacks=callbacks))
        except Interrupted as stop:
            done.append(stop.summary)
            interrupted = True
        except Exception as error:
            if len(jobs) == 1:
                raise
            line = str(to_streamcam_error(error))
            print_error(f"{name}: {line}")
            failed.append({"input": name, "error": line})
            continue
        if not quiet:
            print_note(_format_summary(done[-1]))
        if interrupted:
            break
    if as_json:
        results = [summary.as_dict() for summary in done]
        typer.echo(json.dumps(results[0] if len(jobs) == 1 else {"results": results, "failed": failed}))
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise typer.Exit(1)


def _format_summary(summary: Summary) -> str:
    skipped = f", {summary.frames_skipped} could not be decoded" if summary.frames_skipped else ""
    stopped = ", interrupted" if summary.interrupted else ""
    return f"{summary.output}: {summary.frames_out} frames at {summary.fps:.1f} fps{skipped}{stopped}"


def _short_name(url: str) -> str:
    return url.rpartition("@")[2] if is_url(url) else Path(url).name
