"""``streamcam inspect``: what enters the network, with the classic faults named."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OptionError
from ..notes import collect_notes
from ..option_fields import option_fields
from ..options import InspectOptions, ModelOptions
from .errors import current_command, print_note
from .options import select, with_options
from .tables import print_table

_FIELDS = list(option_fields(InspectOptions))
_MODEL_FIELDS = ("preprocess", "labels", "image_input", "extra_input", "trust_model")


@with_options({"Reading": select(InspectOptions, _FIELDS), "Model": select(ModelOptions, _MODEL_FIELDS)})
def inspect(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|FUNCTION",
            help="Folder with a subfolder of images for each class, or package.module:function of a data set.",
        ),
    ],
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Model that the images feed: as for process --model.")
    ] = None,
    validation: Annotated[
        str | None, typer.Option("--validation", metavar="FOLDER", help="Folder of the validation images.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Page with samples of each stage: .html.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    fail: Annotated[
        bool, typer.Option("--fail", help="Exit with 1 if there is a fault or an unreadable image, for CI.")
    ] = False,
    cleanvision: Annotated[
        bool, typer.Option("--cleanvision", help="Also search a folder for blurry, dark and similar images.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result and errors.")] = False,
    **values: Any,
) -> None:
    """Show what enters the network, and name faults: BGR, wrong range, leaks, shifted labels and others."""
    from ..training.visual_log.page import check_page_path, write_page
    from ..training.visual_log.reading import inspect_source

    options = InspectOptions(**{name: values.pop(name) for name in _FIELDS})
    if output is not None:
        check_page_path(output, overwrite=overwrite)
    if cleanvision and not Path(source).is_dir():
        raise OptionError("--cleanvision needs a folder of images", expected="a folder, not a function")
    command = current_command()
    command.facts = {"input": source, "output": None if output is None else str(output)}
    command.done = "no page was written"
    model_options = None if model is None else ModelOptions(model=model, **values)
    with contextlib.nullcontext() if quiet else collect_notes(print_note):
        log = inspect_source(source, validation=validation or "", model=model_options, options=options)
        faults = list(log.faults())
        if cleanvision:
            from ..training.visual_log.clean_vision import find_issues

            faults += find_issues(Path(source))
        if output is not None:
            write_page(log.evidence(), faults, output, overwrite=overwrite, title=f"What enters the network: {source}")
    if as_json:
        found = {**log.to_dict(), "faults": [fault.to_dict() for fault in faults]}
        typer.echo(json.dumps({**found, "output": None if output is None else str(output)}))
    elif faults or log.unreadable:
        rows: list[tuple[str, ...]] = [(fault.name, fault.stage, str(fault.count), fault.words) for fault in faults]
        first = dict(reversed(log.unreadable))
        counts = Counter(stage for stage, _ in log.unreadable)
        rows += [("unreadable", stage, str(count), f"such as: {first[stage]}") for stage, count in counts.items()]
        print_table(("fault", "stage", "images", "words"), rows)
    else:
        typer.echo("no fault found")
    if (faults or log.unreadable) and fail:
        raise typer.Exit(1)
