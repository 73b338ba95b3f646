"""``streamcam doctor``: what this machine can do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .tables import table


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Tell versions, devices, precisions and codecs of this machine."""
    from ..card import examine as examine_card
    from ..compose import examine as examine_compose
    from ..engine import examine as examine_engine
    from ..sinks import examine as examine_sinks
    from ..sources import examine as examine_sources

    found = {**examine_engine(), **examine_sources(), **examine_compose(), **examine_sinks(), **examine_card()}
    if as_json:
        typer.echo(json.dumps(found))
        return
    table(("", ""), [(name, value if isinstance(value, str) else ", ".join(value)) for name, value in found.items()])
