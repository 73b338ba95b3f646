"""``streamcam doctor``: what this machine can do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .tables import print_table


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Tell versions, devices, precisions and codecs of this machine."""
    from ..compose import report_environment as compose_environment
    from ..engine import report_environment as engine_environment
    from ..gpu import report_environment as gpu_environment
    from ..sinks import report_environment as sinks_environment
    from ..sources import report_environment as sources_environment

    report = {
        **engine_environment(),
        **sources_environment(),
        **compose_environment(),
        **sinks_environment(),
        **gpu_environment(),
    }
    if as_json:
        typer.echo(json.dumps(report))
        return
    print_table(
        ("", ""), [(name, value if isinstance(value, str) else ", ".join(value)) for name, value in report.items()]
    )
