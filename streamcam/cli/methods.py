"""``streamcam methods``: what there is to explain with."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from .tables import table


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the explanation methods: what each shows, its cost and its paper."""
    from ..methods import METHODS

    if as_json:
        typer.echo(json.dumps({name: dataclasses.asdict(info) for name, info in METHODS.items()}))
        return
    table(
        ("method", "shows", "cost", "paper"),
        [(name, info.shows, info.cost, info.paper) for name, info in METHODS.items()],
    )
