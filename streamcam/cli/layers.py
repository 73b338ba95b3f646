"""``streamcam layers MODEL``: the values of ``--layer``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..options import DEFAULT_MODEL, ModelOptions
from .options import select, with_options
from .tables import print_table


@with_options({"Model": select(ModelOptions, ["preprocess", "image_input", "extra_input", "trust_model"])})
def layers(
    model: Annotated[str, typer.Argument(help="As for process --model.")] = DEFAULT_MODEL,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also layers that cannot be explained, with the reason.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    **values: Any,
) -> None:
    """List a model's layers: path, output, stride, and the choice of --layer auto."""
    from ..engine import list_layers

    size, rows = list_layers(ModelOptions(model=model, **values))
    shown = [row for row in rows if row.usable or show_all]
    if as_json:
        entries = [
            {
                "path": row.path,
                "kind": row.kind,
                "shape": list(row.shape),
                "grid": row.spatial_shape,
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
