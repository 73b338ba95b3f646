"""``streamcam bench``: how fast this machine is, what holds it up, and how far that is from the bound."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError, StreamcamError
from .inputs import pairs
from .reporting import complain, say
from .tables import table

if TYPE_CHECKING:
    from ..bench.report import Tabled
    from ..bench.result import Result

_WHAT, _RESULT = "What is measured", "What becomes of it"


def _batches(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise OptionError(f"--batch {text!r} is no list of numbers", wanted="such as 1,8,32") from None


def bench(
    clip: Annotated[
        str, typer.Argument(metavar="[CLIP]", help="Video or URL, looped or cut to --frames; or synthetic:WxH.")
    ] = "synthetic:1280x720",
    model: Annotated[str, typer.Option(help="As for process.", rich_help_panel=_WHAT)] = "efficientnet-lite0",
    method: Annotated[str, typer.Option(help="As for process.", rich_help_panel=_WHAT)] = "gradcam",
    param: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the method's own; repeatable.", rich_help_panel=_WHAT)
    ] = None,
    layer: Annotated[str, typer.Option(help="Target layer, or auto.", rich_help_panel=_WHAT)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=_WHAT)] = "auto",
    device: Annotated[
        str,
        typer.Option(
            help="auto, all, or a list such as gpu:0,gpu:1: each alone, then the first two, three … together.",
            rich_help_panel=_WHAT,
        ),
    ] = "auto",
    batch: Annotated[str, typer.Option(help="Frames per model call: a list.", rich_help_panel=_WHAT)] = "1,8",
    fit: Annotated[str, typer.Option(help="auto, stretch, crop, letterbox or native.", rich_help_panel=_WHAT)] = "auto",
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, av1, vp9 or ffv1; h264 by default.", rich_help_panel=_WHAT)
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Constant quality.", rich_help_panel=_WHAT)] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder speed.", rich_help_panel=_WHAT)] = None,
    frames: Annotated[int, typer.Option(help="Frames a repeat.", rich_help_panel=_WHAT)] = 96,
    repeats: Annotated[int, typer.Option(help="How often each case is timed.", rich_help_panel=_WHAT)] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_RESULT)
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw it.", rich_help_panel=_RESULT)] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep it for --compare.", rich_help_panel=_RESULT)
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Compare with one kept earlier on this machine.", rich_help_panel=_RESULT
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=_RESULT)
    ] = False,
) -> None:
    """Measure every stage alone and all together, name the bottleneck, and tell the distance to the bound.

    The bound is what nobody can do with less than: a plain transcode with the same codec settings and the model's bare
    forward pass, without any method. Each case runs in a process of its own, once to warm up and then --repeats times.
    """
    from ..bench.compare import comparable, compared, load
    from ..bench.plan import Plan
    from ..bench.plot import check_plot
    from ..bench.plot import plot as draw
    from ..bench.result import bench as run
    from ..config import make_job
    from ..sinks import check_apart

    if plot is not None:
        check_plot(plot)
    for path in (plot, save):
        if path is not None and not path.parent.is_dir():
            raise StreamcamError(f"the folder {path.parent} does not exist", do="create it first")
        if path is not None and path.is_dir():
            raise StreamcamError(f"{path} is a folder", wanted="a file name")
    inputs = [clip.removeprefix("file://"), model]
    for option, path in (("--plot", plot), ("--save", save)):
        if path is not None:
            check_apart(path, inputs, option)
    if plot is not None and save is not None and plot.resolve() == save.resolve():
        raise OptionError(f"--plot and --save are both {plot}", wanted="each place once")
    earlier = None if compare is None else load(compare)
    options: dict[str, Any] = {
        "model": model,
        "method": method,
        "params": pairs("--param", param),
        "layer": layer,
        "precision": precision,
        "fit": fit,
        "codec": codec,
        "crf": crf,
        "preset": preset,
    }
    make_job(clip, "-", **options)
    plan = Plan(clip=clip, device=device, batches=_batches(batch), frames=frames, repeats=repeats, options=options)
    check = functools.partial(comparable, earlier) if earlier else (lambda result: None)
    result = run(plan, (lambda line: None) if quiet else say, check)
    told = result.as_dict()
    unsaved = None if save is None else _saved(told, save)
    if as_json:
        typer.echo(json.dumps({**told, "compared": compared(earlier, result)} if earlier else told))
    else:
        _show(result, earlier)
    if unsaved is not None:
        raise unsaved
    if plot is not None:
        draw(result, plot)
    if all(row.error for row in result.rows if row.stage == "whole"):
        complain("no case went well from end to end")
        raise typer.Exit(1)


def _saved(told: dict[str, Any], path: Path) -> StreamcamError | None:
    """Keeps what took minutes before anything else is done with it; why that failed, where it did."""
    try:
        path.write_text(json.dumps(told))
    except OSError as error:
        return StreamcamError(f"{path} cannot be written: {error.strerror}")
    return None


def _show(result: Result, earlier: Result | None) -> None:
    from ..bench.compare import compared
    from ..bench.report import failures, heading, ratios, sentences, tables

    typer.echo(f"{heading(result)}\n")
    for shown in tables(result):
        _tabled(shown)
    if earlier is not None:
        _tabled(ratios(compared(earlier, result)))
    for line in (*sentences(result), *failures(result)):
        typer.echo(line)


def _tabled(shown: Tabled) -> None:
    typer.echo(shown.title)
    table(shown.head, shown.rows)
    typer.echo()
