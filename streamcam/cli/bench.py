"""``streamcam bench``: how fast this machine is, what holds it up, and how far that is from the bound."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError, StreamcamError
from .errors import print_error, print_note
from .inputs import parse_key_values
from .tables import print_table

if TYPE_CHECKING:
    from ..bench.report import TableData
    from ..bench.result import Result

_MEASURE_PANEL, _RESULT_PANEL = "What is measured", "What becomes of it"


def _parse_batches(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise OptionError(f"--batch {text!r} is no list of numbers", expected="such as 1,8,32") from None


def bench(
    clip: Annotated[
        str, typer.Argument(metavar="[CLIP]", help="Video or URL, looped or cut to --frames; or synthetic:WxH.")
    ] = "synthetic:1280x720",
    model: Annotated[str, typer.Option(help="As for process.", rich_help_panel=_MEASURE_PANEL)] = "efficientnet-lite0",
    method: Annotated[str, typer.Option(help="As for process.", rich_help_panel=_MEASURE_PANEL)] = "gradcam",
    param: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of the method's own; repeatable.", rich_help_panel=_MEASURE_PANEL),
    ] = None,
    layer: Annotated[str, typer.Option(help="Target layer, or auto.", rich_help_panel=_MEASURE_PANEL)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=_MEASURE_PANEL)] = "auto",
    device: Annotated[
        str,
        typer.Option(
            help="auto, all, or a list such as gpu:0,gpu:1: each alone, then the first two, three … together.",
            rich_help_panel=_MEASURE_PANEL,
        ),
    ] = "auto",
    batch: Annotated[str, typer.Option(help="Frames per model call: a list.", rich_help_panel=_MEASURE_PANEL)] = "1,8",
    fit: Annotated[
        str, typer.Option(help="auto, stretch, crop, letterbox or native.", rich_help_panel=_MEASURE_PANEL)
    ] = "auto",
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, av1, vp9 or ffv1; h264 by default.", rich_help_panel=_MEASURE_PANEL)
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Constant quality.", rich_help_panel=_MEASURE_PANEL)] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder speed.", rich_help_panel=_MEASURE_PANEL)] = None,
    frames: Annotated[int, typer.Option(help="Frames a repeat.", rich_help_panel=_MEASURE_PANEL)] = 96,
    repeats: Annotated[int, typer.Option(help="How often each case is timed.", rich_help_panel=_MEASURE_PANEL)] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_RESULT_PANEL)
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw it.", rich_help_panel=_RESULT_PANEL)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep it for --compare.", rich_help_panel=_RESULT_PANEL)
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Compare with one kept earlier on this machine.", rich_help_panel=_RESULT_PANEL
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=_RESULT_PANEL)
    ] = False,
) -> None:
    """Measure every stage alone and all together, name the bottleneck, and tell the distance to the bound.

    The bound is what nobody can do with less than: a plain transcode with the same codec settings and the model's bare
    forward pass, without any method. Each case runs in a process of its own, once to warm up and then --repeats times.
    """
    from ..bench.compare import check_comparable, compare_rows, load
    from ..bench.matrix import BenchmarkMatrix
    from ..bench.plot import check_plot
    from ..bench.plot import plot as draw
    from ..bench.result import bench as run
    from ..options import make_job
    from ..sinks import check_not_input

    if plot is not None:
        check_plot(plot)
    for path in (plot, save):
        if path is not None and not path.parent.is_dir():
            raise StreamcamError(f"the folder {path.parent} does not exist", hint="create it first")
        if path is not None and path.is_dir():
            raise StreamcamError(f"{path} is a folder", expected="a file name")
    inputs = [clip.removeprefix("file://"), model]
    for option, path in (("--plot", plot), ("--save", save)):
        if path is not None:
            check_not_input(path, inputs, option)
    if plot is not None and save is not None and plot.resolve() == save.resolve():
        raise OptionError(f"--plot and --save are both {plot}", expected="each place once")
    earlier = None if compare is None else load(compare)
    options: dict[str, Any] = {
        "model": model,
        "method": method,
        "params": parse_key_values("--param", param),
        "layer": layer,
        "precision": precision,
        "fit": fit,
        "codec": codec,
        "crf": crf,
        "preset": preset,
    }
    make_job(clip, "-", **options)
    matrix = BenchmarkMatrix(
        clip=clip, device=device, batches=_parse_batches(batch), frames=frames, repeats=repeats, options=options
    )
    check = functools.partial(check_comparable, earlier) if earlier else (lambda result: None)
    result = run(matrix, (lambda line: None) if quiet else print_note, check)
    report = result.as_dict()
    save_error = None if save is None else _save(report, save)
    if as_json:
        typer.echo(json.dumps({**report, "compared": compare_rows(earlier, result)} if earlier else report))
    else:
        _print_result(result, earlier)
    if save_error is not None:
        raise save_error
    if plot is not None:
        draw(result, plot)
    if all(row.error for row in result.rows if row.stage == "whole"):
        print_error("no case went well from end to end")
        raise typer.Exit(1)


def _save(report: dict[str, Any], path: Path) -> StreamcamError | None:
    """Keeps what took minutes before anything else is done with it; why that failed, where it did."""
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
