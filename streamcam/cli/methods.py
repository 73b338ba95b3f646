"""``streamcam methods``: what there is to explain with."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from .tables import print_table


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the explanation methods: what each shows, its cost in forward passes, its paper and its parameters."""
    from ..methods import METHODS, parameters

    if as_json:
        entries = {name: {**dataclasses.asdict(info), "parameters": parameters(name)} for name, info in METHODS.items()}
        typer.echo(json.dumps(entries))
        return
    print_table(
        ("method", "summary", "forward passes", "paper", "--param"),
        [
            (
                name,
                info.summary,
                info.cost,
                info.paper,
                " ".join(f"{key}={'' if value is None else value}" for key, value in parameters(name).items()),
            )
            for name, info in METHODS.items()
        ],
    )
