"""``streamcam process --cluster``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from ..cluster.run import run_on_cluster
from ..notes import collect_notes
from ..options import record_folder
from ..pipeline import RunCallbacks
from .errors import current_command, print_note
from .progress import ProgressBar
from .results import format_summary, input_name, short_name

if TYPE_CHECKING:
    from ..job import Job


def run_cluster_job(job: Job, address: str, output_url: str, *, as_json: bool, quiet: bool) -> None:
    """Run a job on a cluster, and print its summary.

    Args:
        job: what to do.
        address: value of ``--cluster``.
        output_url: where to copy the output; empty for nowhere.
        as_json: print the summary as JSON on stdout.
        quiet: print errors only.
    """
    command = current_command()
    name = short_name(job.source.url)
    command.facts = {"input": input_name(job.source.url), "output": output_url or str(job.sink.path)}
    record = job.sink.record_path or record_folder(job.sink.path)
    command.done = f"chunks that are done are in {record}: continue with --resume"
    with (
        ProgressBar(name, quiet=quiet) as progress_bar,
        collect_notes(lambda line: None if quiet else progress_bar.print_line(line)),
    ):

        def on_progress(done: int, total: int) -> None:
            command.signals.raise_if_received()
            progress_bar.update(done, total, None, is_ready=True)

        summary = run_on_cluster(
            job,
            address,
            output_url=output_url,
            callbacks=RunCallbacks(on_open=progress_bar.on_open),
            on_progress=on_progress,
        )
    if not quiet:
        print_note(format_summary(summary, job))
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
