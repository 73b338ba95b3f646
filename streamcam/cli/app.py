"""The application: all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import activations, bench, doctor, evolution, filters, inspect, layers, live, methods, models, process, render
from .errors import handle_errors
from .options import Command
from .signals import SERVICES

app = typer.Typer(
    help="Explain a vision model on every frame of a video: class activation maps, attributions, live overlays.",
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


for command in (
    process.process,
    render.render,
    live.live,
    filters.filters,
    activations.activations,
    evolution.evolution,
    inspect.inspect,
    bench.bench,
    models.models,
    layers.layers,
    methods.methods,
    doctor.doctor,
):
    app.command(cls=Command)(handle_errors(command, is_service=command.__name__ in SERVICES))
