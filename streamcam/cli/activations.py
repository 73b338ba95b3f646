"""``streamcam activations INPUT``: feature maps of layers, with dead, duplicate and noise channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..notes import collect_notes
from ..option_fields import option_fields
from ..options import ActivationOptions, ExplainOptions, ModelOptions, SinkOptions, SourceOptions
from . import options
from .errors import current_command, print_note
from .tables import print_table

if TYPE_CHECKING:
    from ..studies.activations import Activations

_MODEL_FIELDS = ("model", "preprocess", "fit", "image_input", "extra_input", "trust_model")
_SOURCE_FIELDS = ("start", "end", "max_pixels", "allow_playlist_files")
_MAX_LISTED = 12


@options.with_options(
    {
        "Model and layers": [
            *options.select(ModelOptions, _MODEL_FIELDS),
            *options.select(ActivationOptions, ["layers"]),
            *options.select(ExplainOptions, ["device"]),
        ],
        options.DRAW_PANEL: options.select(ActivationOptions, ["channels", "scale", "colormap"]),
        options.FILE_PANEL: [
            *options.select(SourceOptions, _SOURCE_FIELDS),
            *options.select(SinkOptions, ["overwrite"]),
        ],
    }
)
def activations(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Image, video, animation or URL.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Sheet of the first frame (.png, .jpg) or grid video of all (.mp4, .mkv, .webm, .gif, ...).",
            rich_help_panel=options.FILE_PANEL,
        ),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=options.FILE_PANEL)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only the result and errors.", rich_help_panel=options.FILE_PANEL)
    ] = False,
    **values: Any,
) -> None:
    """Show feature maps of layers; list dead, duplicate and noise channels.

    The findings count over all frames of the input. Without -o they are only printed.
    """
    from ..studies.activation_files import check_output, save
    from ..studies.activations import read_activations
    from .results import short_name

    drawing = ActivationOptions(**_fields(ActivationOptions, values))
    source_options = SourceOptions(url=source, **_fields(SourceOptions, values))
    model = ModelOptions(**_fields(ModelOptions, values))
    path = None if output is None else Path(output)
    overwrite = bool(values["overwrite"])
    if path is not None:
        check_output(path, overwrite=overwrite, input_name=source.removeprefix("file://"))
    command = current_command()
    command.facts = {"input": short_name(source), "output": None if path is None else str(path)}
    command.done = "no output was written"
    with collect_notes(lambda line: None if quiet else print_note(line)):
        study = read_activations(
            source_options, model, drawing, device=values["device"], on_frame=command.signals.raise_if_received
        )
        if path is not None:
            save(study, path, overwrite=overwrite, on_frame=command.signals.raise_if_received)
    if as_json:
        typer.echo(json.dumps({**study.to_dict(), "output": None if path is None else str(path)}))
    else:
        _print_layers(study)


def _fields(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the fields of an option object."""
    return {name: values[name] for name in option_fields(kind) if name in values}


def _print_layers(study: Activations) -> None:
    rows = []
    for layer in study.layers:
        found = layer.statistics
        height, width = layer.spatial_shape
        lists = (found.dead, found.duplicates, found.noise)
        rows.append((layer.path, f"{height}x{width}x{layer.channels}", *(_list_channels(one) for one in lists)))
    print_table(("layer", "output", "dead", "duplicates", "noise"), rows)


def _list_channels(channels: tuple[int, ...]) -> str:
    """Return a count with the first channels: ``3: 0, 7, 12``."""
    if not channels:
        return "0"
    more = ", ..." if len(channels) > _MAX_LISTED else ""
    return f"{len(channels)}: {', '.join(map(str, channels[:_MAX_LISTED]))}{more}"
