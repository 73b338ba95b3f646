"""``streamcam layers MODEL``: what ``--layer`` can be."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .inputs import parse_key_values
from .tables import print_table


def layers(
    model: Annotated[str, typer.Argument(help="As for process --model.")] = "efficientnet-lite0",
    show_all: Annotated[
        bool, typer.Option("--all", help="Also layers that cannot be explained, with the reason.")
    ] = False,
    image_input: Annotated[str, typer.Option(help="As for process.")] = "",
    extra_input: Annotated[list[str] | None, typer.Option(help="As for process; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List a model's layers: path, output, stride to the input, and which one --layer auto takes."""
    from ..engine import list_layers
    from ..options import ModelOptions

    options = ModelOptions(
        model=model, image_input=image_input, extra_input=parse_key_values("--extra-input", extra_input)
    )
    size, rows = list_layers(options)
    shown = [row for row in rows if row.usable or show_all]
    if as_json:
        entries = [
            {
                "path": row.path,
                "kind": row.kind,
                "shape": list(row.shape),
                "keep": row.spatial_shape,
                "stride": row.stride(size),
                "usable": row.usable,
                "auto": row.chosen,
                "reason": row.reason,
            }
            for row in shown
        ]
        typer.echo(json.dumps({"model": model, "input": list(size), "layers": entries}))
        return
    print_table(
        ("layer", "kind", "output", "stride", ""),
        [
            (
                row.path,
                row.kind,
                "x".join("?" if n is None else str(n) for n in row.shape),
                _stride(row.stride(size)),
                row.reason,
            )
            for row in shown
        ],
    )


def _stride(stride: tuple[int, int] | None) -> str:
    if stride is None:
        return ""
    return str(stride[0]) if stride[0] == stride[1] else f"{stride[0]}x{stride[1]}"
