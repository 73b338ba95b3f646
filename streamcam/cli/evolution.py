"""``streamcam evolution LOGDIR -o out.mp4``: how the maps moved over a training, as a video."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..notes import collect_notes
from ..option_fields import option_fields
from ..options import EvolutionOptions
from . import options
from .errors import current_command, print_note

_FIELDS = list(option_fields(EvolutionOptions))


@options.with_options({"Video": options.select(EvolutionOptions, _FIELDS)})
def evolution(
    folder: Annotated[Path, typer.Argument(metavar="LOGDIR", help="Folder of ExplainCallback's folder:DIR logger.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Video or animation: .mp4, .webm, .gif, ...")
    ] = Path("evolution.mp4"),
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result and errors.")] = False,
    **values: Any,
) -> None:
    """Show how the maps of validation images moved over a training."""
    from ..training.evolution import draw_evolution

    command = current_command()
    command.done = "no output was written"
    with collect_notes(lambda line: None if quiet else print_note(line)):
        found = draw_evolution(
            folder,
            output,
            EvolutionOptions(**values),
            overwrite=overwrite,
            on_frame=command.signals.raise_if_received,
        )
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(
            f"{found.output}: {found.method}, epochs {found.epochs[0]:g} to {found.epochs[1]:g}, "
            f"{found.images} images, {found.seconds:.1f} s"
        )
