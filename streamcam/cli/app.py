"""The commands, joined."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import bench, doctor, layers, live, methods, models, process
from .errors import handle_errors

app = typer.Typer(
    help="See where a vision model looks, and why, in every frame of a video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"streamcam {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for command in (process.process, live.live, bench.bench, models.models, layers.layers, methods.methods, doctor.doctor):
    app.command()(handle_errors(command))
