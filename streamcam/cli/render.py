"""``streamcam render RECORD``: draw a record again, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import keywords
from ..options import RecordOptions, SinkOptions, SourceOptions, TemporalOptions
from . import options
from .process import run_job

if TYPE_CHECKING:
    from ..record import Manifest


@options.with_options(
    {
        options.DRAW_PANEL: [
            *options.select(RecordOptions, ["target"]),
            *options.DRAW,
            *options.select(TemporalOptions, ["interpolation", "scale"]),
        ],
        options.FILE_PANEL: [
            *options.select(RecordOptions, ["source"]),
            *options.select(SinkOptions, keywords.EncodingKeywords.__annotations__),
            *options.select(SourceOptions, ["max_pixels", "allow_playlist_files"]),
        ],
    },
    inherited={options.DRAW_PANEL: "as recorded"},
)
def render(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="Folder that process --record wrote.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Video, animation or image.", rich_help_panel=options.FILE_PANEL),
    ] = None,
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=options.FILE_PANEL),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=options.FILE_PANEL)
    ] = False,
    **values: Any,
) -> None:
    """Draw a record again, without the model.

    The recorded source is read again; its size and a hash of its first and last MiB must be the recorded ones. Drawing
    options default to those of the recorded run. By default the result is in the working directory, and .render is
    added to its name: heat.render.mp4 for a run that wrote heat.mp4.
    """
    from ..prepare_render import make_render_job
    from ..record import open_record

    path = Path(output) if output is not None else _default_output(open_record(record).manifest)
    given: Any = {name: value for name, value in values.items() if value is not None}
    run_job(make_render_job(record, path, **given), as_json=as_json, quiet=quiet)


def _default_output(manifest: Manifest) -> Path:
    """Return ``clip.gradcam.render.mp4`` for the record of ``clip.gradcam.mp4``."""
    recorded = Path(manifest.job["sink"]["path"]).name
    return Path(recorded).with_suffix(f".render{Path(recorded).suffix}")
