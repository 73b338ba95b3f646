"""``streamcam filters MODEL``: the image that excites each filter of a layer most."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..notes import collect_notes
from ..option_fields import option_fields
from ..options import DEFAULT_MODEL, FilterOptions, ModelOptions
from .errors import print_note
from .options import select, with_options
from .tables import print_table

if TYPE_CHECKING:
    from ..studies.filters import FilterImage

_FILTERS = list(option_fields(FilterOptions))


@with_options(
    {
        "Filters": select(FilterOptions, _FILTERS),
        "Model": select(ModelOptions, ["preprocess", "labels", "image_input", "extra_input", "trust_model"]),
    }
)
def filters(
    model: Annotated[str, typer.Argument(help="As for process --model.")] = DEFAULT_MODEL,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Sheet of all images (.png, .jpg), or a video of the steps (.mp4, ...).",
        ),
    ] = None,
    patches: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP", help="Also show the patches of this video or folder that excite each filter most."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")] = False,
    **values: Any,
) -> None:
    """Show what each filter responds to: the image that excites it most, by gradient ascent from noise."""
    from ..studies.filters.files import VIDEO_HISTORY, check_output, is_video
    from ..studies.filters.study import run_study

    options = FilterOptions(**{name: values.pop(name) for name in _FILTERS})
    if output is not None:
        check_output(output, overwrite=overwrite)
    history = VIDEO_HISTORY if output is not None and is_video(output) else 0
    with contextlib.nullcontext() if quiet else collect_notes(print_note):
        study = run_study(ModelOptions(model=model, **values), options, patches, history)
        if output is not None:
            study.save(output, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({**study.to_dict(), "output": None if output is None else str(output)}))
        return
    print_table(
        ("filter", "random images", "start", "end", "peak", *(["best patch"] if patches else [])),
        [
            (one.label, *(f"{number:.3g}" for number in (one.random, one.start, one.end, one.peak, *_best_patch(one))))
            for one in study.filters
        ],
    )


def _best_patch(one: FilterImage) -> list[float]:
    return [patch.activation for patch in one.patches[:1]]
