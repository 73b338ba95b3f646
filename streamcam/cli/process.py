"""``streamcam process``: videos in, annotated videos out."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import count_of
from ..notes import collect_notes
from . import options
from .errors import print_error, print_note, to_streamcam_error
from .inputs import expand_inputs, is_url, output_paths

if TYPE_CHECKING:
    from ..job import Job
    from ..pipeline import Summary


@options.with_options(
    {
        options.MODEL_PANEL: [*options.MODEL, *options.TEMPORAL],
        options.DRAW_PANEL: options.DRAW,
        options.FILE_PANEL: options.FILES,
    }
)
def process(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Video, image, folder, glob or URL.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File, or folder/ for several inputs.", rich_help_panel=options.FILE_PANEL),
    ] = None,
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=options.FILE_PANEL),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=options.FILE_PANEL)
    ] = False,
    **values: Any,
) -> None:
    """Explain every frame of a video and draw the heatmaps into it.

    By default the result is <stem>.<method>.mp4 in the working directory (.png for an image). An existing file is
    never replaced without --overwrite.
    """
    from ..job import Job
    from ..methods import METHODS, method_name
    from ..sinks.paths import check_not_input

    method = method_name(values["method"])
    sources = expand_inputs(inputs, [*METHODS, method])
    results = output_paths(sources, output, method)
    jobs = [Job.from_options(source, path, **values) for source, path in zip(sources, results, strict=True)]
    if values["overwrite"]:
        input_paths = [source.removeprefix("file://") for source in sources]
        for path in results:
            check_not_input(path, input_paths, "-o")
    if output is not None and output.endswith("/"):
        Path(output).mkdir(parents=True, exist_ok=True)
    _run(jobs, as_json=as_json, quiet=quiet)


def _run(jobs: list[Job], *, as_json: bool, quiet: bool) -> None:
    """Run the jobs one after another with one loaded model; a failed one does not stop the others."""
    from ..engine import load_explainer
    from ..pipeline import Interrupted, RunCallbacks, run
    from .progress import ProgressBar

    done: list[Summary] = []
    failed: list[dict[str, str]] = []
    interrupted = False
    explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True) if len(jobs) > 1 else None
    printed: set[str] = set()

    def print_once(progress_bar: ProgressBar, line: str) -> None:
        """Print a note; notes on the model only once."""
        is_model_note = explainer is not None and line in explainer.notes
        if not quiet and not (is_model_note and line in printed):
            printed.add(line)
            progress_bar.print_line(line)

    for job in jobs:
        name = _short_name(job.source.url)
        try:
            with (
                ProgressBar(name, quiet=quiet) as progress_bar,
                collect_notes(functools.partial(print_once, progress_bar)),
            ):
                callbacks = RunCallbacks(
                    on_open=progress_bar.on_open,
                    on_ready=progress_bar.ready,
                    on_frame=progress_bar.frame,
                    on_pass=progress_bar.passes,
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
    return f"{summary.output}: {count_of(summary.frames_out, 'frame')} at {summary.fps:.1f} fps{skipped}{stopped}"


def _short_name(url: str) -> str:
    return url.rpartition("@")[2] if is_url(url) else Path(url).name
