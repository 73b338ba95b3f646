"""``streamcam models``: what ``--model`` can be."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .tables import table


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the models that can be named; files and functions of your own work as well."""
    from ..models import list_models

    raise NotImplementedError(list_models, json, table, as_json)
