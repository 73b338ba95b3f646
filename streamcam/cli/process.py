"""``streamcam process``: videos in, annotated videos out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError
from ..notes import collect_notes
from ..options import record_folder
from . import options
from .errors import current_command, print_error, print_note
from .inputs import expand_inputs, output_paths
from .results import format_summary, input_name, short_name
from .signals import ReportedInterrupt

if TYPE_CHECKING:
    from ..frames import ExplainedFrame
    from ..job import Job, RenderJob


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
    inspect: Annotated[
        Path | None,
        typer.Option(
            "--inspect",
            metavar="FILE.html",
            help="Also write a page of what the model is fed: frames decoded, resized and preprocessed.",
            rich_help_panel=options.FILE_PANEL,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="auto|local|ray://HOST:10001",
            help="Work on the machines of a Ray cluster. Input and -o may be URLs such as s3://BUCKET/NAME.",
            rich_help_panel=options.FILE_PANEL,
        ),
    ] = None,
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
    from ..methods import METHODS, check_method_name, method_name
    from ..record import create_folder
    from ..sinks.paths import check_not_input

    check_method_name(values["method"])
    method = method_name(values["method"])
    output_url = ""
    if cluster is not None:
        output, output_url = _check_cluster(cluster, inputs, output, inspect)
    sources = expand_inputs(inputs, [*METHODS, method, "render"])
    results = output_paths(sources, output, method)
    record = values.pop("record")
    jobs = [
        Job.from_options(source, path, **values, record=_record_folder(record, path, is_one=len(sources) == 1))
        for source, path in zip(sources, results, strict=True)
    ]
    if values["overwrite"]:
        input_paths = [source.removeprefix("file://") for source in sources]
        for path in results:
            check_not_input(path, input_paths, "-o")
    if output is not None and output.endswith("/"):
        Path(output).mkdir(parents=True, exist_ok=True)
    if record not in (None, "auto") and len(jobs) > 1:
        create_folder(Path(record))
    if inspect is not None:
        from ..training.visual_log.page import check_page_path

        if len(jobs) > 1:
            raise OptionError("--inspect with several inputs", expected="one input")
        check_page_path(inspect, overwrite=values["overwrite"], option="--inspect")
    if cluster is not None:
        from .cluster import run_cluster_job

        run_cluster_job(jobs[0], cluster, output_url, as_json=as_json, quiet=quiet)
    elif len(jobs) == 1:
        run_job(jobs[0], inspect, as_json=as_json, quiet=quiet)
    else:
        _run_batch(jobs, as_json=as_json, quiet=quiet)


def _check_cluster(cluster: str, inputs: list[str], output: str | None, inspect: Path | None) -> tuple[str | None, str]:
    """Check the options of a run on a cluster.

    Returns:
        The local output, and the URL to copy it to, empty for none.

    Raises:
        OptionError: they do not go together.
    """
    from ..cluster.address import check_address
    from ..cluster.urls import file_name, is_remote

    check_address(cluster)
    if len(expand_inputs(inputs, [])) > 1:
        raise OptionError("--cluster with several inputs", expected="one input")
    if inspect is not None:
        raise OptionError("--cluster with --inspect", hint="use one of them")
    if output is not None and is_remote(output):
        return file_name(output), output
    return output, ""


def _record_folder(record: str | None, output: Path, *, is_one: bool) -> str | None:
    """Return the folder of an output's record: of several inputs, each has its own in the given one."""
    if record in (None, "auto") or is_one:
        return record
    return str(record_folder(Path(record) / output.name))


def run_job(job: Job | RenderJob, page: Path | None = None, *, as_json: bool, quiet: bool) -> None:
    """Run one job with a progress bar, and print its summary.

    Args:
        job: of a file or a record.
        page: where to write the report of `streamcam inspect`; None writes none.
        as_json: print the summary as JSON on stdout.
        quiet: print errors only.
    """
    from ..job import Job
    from ..pipeline import Interrupted, RunCallbacks, run
    from .progress import ProgressBar

    command = current_command()
    command.facts = {"input": input_name(job.source.url), "output": str(job.sink.path)}
    command.done = "no frame was written"
    interrupted = False
    with (
        ProgressBar(short_name(job.source.url), quiet=quiet) as progress_bar,
        collect_notes(lambda line: None if quiet else progress_bar.print_line(line)),
    ):

        def on_frame(item: ExplainedFrame) -> None:
            command.signals.raise_if_received()
            progress_bar.frame(item)

        callbacks = RunCallbacks(
            on_open=progress_bar.on_open, on_ready=progress_bar.ready, on_frame=on_frame, on_pass=progress_bar.passes
        )
        inspector = None
        if page is not None:
            from ..training.visual_log.video import VideoInspector

            inspector = VideoInspector()
            callbacks = inspector.attach(callbacks)
        try:
            summary = run(job, callbacks=callbacks)
        except Interrupted as stop:
            summary, interrupted = stop.summary, True
        if inspector is not None and page is not None and isinstance(job, Job):
            inspector.save(page, job, short_name(job.source.url))
    if not quiet:
        print_note(format_summary(summary, job))
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
    if interrupted:
        raise ReportedInterrupt


def _run_batch(jobs: list[Job], *, as_json: bool, quiet: bool) -> None:
    """Run the jobs with one loaded model; a failed one does not stop the others."""
    from .batch import Batch

    batch = Batch([(short_name(job.source.url), job) for job in jobs], quiet=quiet)
    batch.run()
    if as_json:
        report = {"results": batch.results, "failed": batch.failed, "interrupted": batch.interrupted}
        typer.echo(json.dumps(report))
    if batch.interrupted:
        if not any(result["interrupted"] for result in batch.results):
            print_error(current_command().signals.description)
        raise ReportedInterrupt
    if batch.failed:
        raise typer.Exit(1)
