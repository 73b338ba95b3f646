"""``streamcam bench``: throughput of this machine, the bottleneck, and the distance to the lower bound."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError, StreamcamError
from ..notes import collect_notes
from ..options import ExplainOptions, ModelOptions, SinkOptions
from . import options
from .errors import current_command, print_error, print_note
from .tables import print_table

if TYPE_CHECKING:
    from ..bench.matrix import BenchmarkMatrix
    from ..bench.report import TableData
    from ..bench.result import Result

_MEASURE_PANEL, _RESULT_PANEL = "What to measure", "Result"


def _parse_batches(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise OptionError(f"invalid --batch {text!r}", expected="a list of numbers such as 1,8,32") from None


@options.with_options(
    {
        _MEASURE_PANEL: [
            *options.select(ModelOptions, ("model", "fit")),
            *options.select(ExplainOptions, ("method", "params", "layer", "precision")),
            *options.select(SinkOptions, ("codec", "crf", "preset")),
        ]
    }
)
def bench(
    clip: Annotated[
        str, typer.Argument(metavar="[CLIP]", help="Video or URL, looped or cut to --frames; or synthetic:WxH.")
    ] = "synthetic:1280x720",
    *,
    device: Annotated[
        str,
        typer.Option(
            help="auto, all, or a list such as gpu:0,gpu:1: each alone, then the first two, three … together.",
            rich_help_panel=_MEASURE_PANEL,
        ),
    ] = "auto",
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Frames per model call: a list; 1,8 by default. --scaling takes one number; 8 by default.",
            rich_help_panel=_MEASURE_PANEL,
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames per repeat.", rich_help_panel=_MEASURE_PANEL)] = 96,
    repeats: Annotated[int, typer.Option(help="How often to time each case.", rich_help_panel=_MEASURE_PANEL)] = 3,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling",
            help="Measure the whole pipeline on 1, 2, 4 … cores instead; with --device all or a list, also on the "
            "first one, two … devices.",
            rich_help_panel=_MEASURE_PANEL,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_RESULT_PANEL)
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Plot the result.", rich_help_panel=_RESULT_PANEL)
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Save the result for --compare.", rich_help_panel=_RESULT_PANEL),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Compare with a saved result of this machine.", rich_help_panel=_RESULT_PANEL
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=_RESULT_PANEL)
    ] = False,
    **values: Any,
) -> None:
    """Measure throughput, find the bottleneck, and compare with the lower bound.

    Measures each stage alone and all together. The lower bound is a plain transcode with the same codec settings plus
    the model's forward pass, without any method. Each case runs in its own process, once to warm up and then --repeats
    times. --scaling measures how the speed grows with cores and devices.
    """
    from ..bench.compare import check_comparable, compare_rows, load
    from ..bench.matrix import BenchmarkMatrix
    from ..bench.plot import check_plot
    from ..bench.plot import plot as draw
    from ..bench.result import bench as run
    from ..job import Job
    from ..sinks.paths import check_not_input

    batches = _parse_batches(("8" if scaling else "1,8") if batch is None else batch)
    if scaling:
        if len(batches) > 1:
            raise OptionError(f"--batch {batch} with --scaling", expected="one number")
        for option, path in (("--plot", plot), ("--save", save), ("--compare", compare)):
            if path is not None:
                raise OptionError(f"{option} with --scaling", expected="one of them")
    if plot is not None:
        check_plot(plot)
    for path in (plot, save):
        if path is not None and not path.parent.is_dir():
            raise StreamcamError(f"folder {path.parent} does not exist", hint="create it first")
        if path is not None and path.is_dir():
            raise StreamcamError(f"{path} is a folder", expected="a file name")
    inputs = [clip.removeprefix("file://"), values["model"]]
    for option, path in (("--plot", plot), ("--save", save)):
        if path is not None:
            check_not_input(path, inputs, option)
    if plot is not None and save is not None and plot.resolve() == save.resolve():
        raise OptionError(f"--plot and --save are both {plot}", expected="a file for each")
    earlier = None if compare is None else load(compare)
    Job.from_options(clip, "-", **values)
    matrix = BenchmarkMatrix(clip=clip, device=device, batches=batches, frames=frames, repeats=repeats, options=values)
    if scaling:
        _run_scaling(matrix, as_json=as_json, quiet=quiet)
        return
    check = functools.partial(check_comparable, earlier) if earlier else (lambda result: None)
    with contextlib.nullcontext() if quiet else collect_notes(print_note):
        result = run(matrix, check)
    report = result.as_dict()
    save_error = None if save is None else _save(report, save)
    if not as_json:
        _print_result(result, earlier)
    # If the rest fails, the error stands beside the result.
    facts = {**report, "compared": compare_rows(earlier, result)} if earlier else report
    current_command().facts.update(facts)
    if save_error is not None:
        raise save_error
    if plot is not None:
        draw(result, plot)
    if as_json:
        typer.echo(json.dumps(facts))
    if all(row.error for row in result.rows if row.stage == "end_to_end"):
        print_error("no end-to-end case succeeded")
        raise typer.Exit(1)


def _run_scaling(matrix: BenchmarkMatrix, *, as_json: bool, quiet: bool) -> None:
    from ..bench.report import heading, scaling_failures, scaling_table
    from ..bench.scaling import measure_scaling

    with contextlib.nullcontext() if quiet else collect_notes(print_note):
        result = measure_scaling(matrix)
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        typer.echo(f"{heading(result)}\n")
        _print_table(scaling_table(result))
        for line in scaling_failures(result):
            typer.echo(line)
    if all(step.error for step in result.steps):
        print_error("no step succeeded")
        raise typer.Exit(1)


def _save(report: dict[str, Any], path: Path) -> StreamcamError | None:
    """Save the result before anything else can fail; return the error if that fails."""
    try:
        path.write_text(json.dumps(report))
    except OSError as error:
        return StreamcamError(f"{path} cannot be written: {error.strerror}")
    return None


def _print_result(result: Result, earlier: Result | None) -> None:
    from ..bench.compare import compare_rows
    from ..bench.report import failures, heading, ratios, sentences, tables

    typer.echo(f"{heading(result)}\n")
    for data in tables(result):
        _print_table(data)
    if earlier is not None:
        _print_table(ratios(compare_rows(earlier, result)))
    for line in (*sentences(result), *failures(result)):
        typer.echo(line)


def _print_table(data: TableData) -> None:
    typer.echo(data.title)
    print_table(data.head, data.rows)
    typer.echo()
