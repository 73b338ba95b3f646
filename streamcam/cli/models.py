"""``streamcam models``: what ``--model`` can be."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from .tables import print_table


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the models that can be named; files and functions of your own work as well."""
    from ..models import MODELS

    if as_json:
        typer.echo(json.dumps({"models": [dataclasses.asdict(entry) for entry in MODELS.values()]}))
        return
    print_table(
        ("model", "input", "classes", "weights", "licence"),
        [
            (entry.name, f"{entry.input_size[0]}x{entry.input_size[1]}", entry.classes, entry.weights, entry.licence)
            for entry in MODELS.values()
        ],
    )
