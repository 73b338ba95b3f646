"""``streamcam live``: live cameras with overlays."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError, count_of
from ..job import LiveJob
from ..notes import collect_notes
from ..options import CameraOptions, OutputOptions, ServerOptions
from . import options
from .errors import current_command, print_note
from .live_table import LiveTable
from .signals import ReportedInterrupt
from .systemd import notify_while_running

if TYPE_CHECKING:
    from ..live.status import Controller

_CAMERA_PANEL, _OUTPUT_PANEL = "Cameras", "Outputs"
_NAMED_SOURCE = re.compile(r"(\w[\w-]*)=(.+)", re.DOTALL)
_GENERATE = "auto"
_CAMERA_PLACEHOLDER = "{camera}"
_CAMERA_FIELDS = (
    "max_latency_seconds",
    "reconnect",
    "timeout_seconds",
    "realtime",
    "audio",
    "loop",
    "snapshot_seconds",
    "rtsp_transport",
    "credentials",
    "max_pixels",
    "allow_playlist_files",
)
_OUTPUT_FIELDS = ("segment_seconds", "codec", "crf", "preset", "overwrite")


@options.with_options(
    {
        _CAMERA_PANEL: options.select(CameraOptions, _CAMERA_FIELDS),
        _OUTPUT_PANEL: options.select(OutputOptions, _OUTPUT_FIELDS),
        options.MODEL_PANEL: [*options.MODEL, *options.select(LiveJob, ["max_explain_fps"])],
        options.DRAW_PANEL: [*options.DRAW, *options.select(LiveJob, ["scale"])],
        "Options": options.select(LiveJob, ["duration_seconds"]),
    }
)
def live(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="rtsp://, http(s)://, rtmp://, webcam, webcam:N, /dev/videoN, lavfi:GRAPH, a file, or - for standard "
            "input; NAME=SOURCE names it.",
        ),
    ],
    http: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT|off",
            help="Address of the page; 127.0.0.1:8080 if there is no --to.",
            show_default=False,
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="Serve no page, as --http off.", rich_help_panel=_OUTPUT_PANEL)
    ] = False,
    token: Annotated[
        str,
        typer.Option(
            envvar="STREAMCAM_TOKEN",
            show_envvar=True,
            metavar="TEXT|auto",
            help="Token that viewers of the page must present, at least 16 characters; auto generates and prints one. "
            "Required on addresses that others can reach.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = "",
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            "-o",
            help="Push to rtsp:// or rtmp://, a folder's NAME.m3u8 (HLS), a video file, - (MPEG-TS on standard output) "
            "or y4m:- (YUV4MPEG2); repeatable. With several cameras {camera} stands for the name.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
    **values: Any,
) -> None:
    """Draw the model's heatmaps over live cameras.

    Shows every frame as it arrives, with the newest heatmap, and drops frames that are too old.
    """
    named_cameras = list(_name_cameras(sources))
    outputs = list(_resolve_outputs(to or [], [name for name, _ in named_cameras]))
    generated_token = secrets.token_urlsafe(24) if token == _GENERATE else ""
    server = _server_options(http, generated_token or token, no_page=no_page, needed=not outputs)
    job = LiveJob.from_options(named_cameras, outputs, server=server, **values)
    if values["segment_seconds"] is not None and not any(_is_segmented(output) for _, output in job.outputs):
        raise OptionError("--segment-time has no file to divide", expected="--to FILE with it")
    num_stdout = sum(url in ("-", "y4m:-") for _, url in outputs)
    if num_stdout > 1:
        raise OptionError("two outputs cannot share standard output", expected="one --to - at most")
    if as_json and num_stdout:
        raise OptionError("--json and --to - both need standard output", hint="use only one of them")
    _run(job, page_query=generated_token and f"?token={generated_token}", as_json=as_json, quiet=quiet)


def _run(job: LiveJob, *, page_query: str, as_json: bool, quiet: bool) -> None:
    from ..live.pipeline import run_live
    from ..live.summary import OutputError

    live_table = LiveTable(quiet=quiet)

    @contextlib.contextmanager
    def serve_and_show(controller: Controller) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if job.server is not None:
                from ..web import serve

                page = stack.enter_context(serve(controller, job.server))
                live_table.print_line(f"page: {page.url}{page_query}", always=bool(page_query))
            stack.enter_context(live_table.show(controller))
            stack.enter_context(notify_while_running(controller))
            yield

    with collect_notes(live_table.print_line):
        try:
            summary = run_live(job, serve=serve_and_show)
        except OutputError as error:
            current_command().facts.update(error.summary.as_dict())
            raise
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
    elif not quiet:
        for source in summary.sources:
            print_note(
                f"{source['name']}: {count_of(source['frames_in'], 'frame')} in, {source['frames_shown']} shown, "
                f"{source['frames_explained']} explained, {source['frames_dropped']} dropped, "
                f"{count_of(source['reconnects'], 'reconnect')}; latency {source['latency_ms']['p50']:.0f} ms, "
                f"99 % below {source['latency_ms']['p99']:.0f} ms"
            )
    if summary.interrupted:
        raise ReportedInterrupt


def _name_cameras(sources: list[str]) -> Iterator[tuple[str, str]]:
    """Yield names and URLs; cameras without a name are ``cam1``, ``cam2`` …"""
    for number, source in enumerate(sources, 1):
        match = _NAMED_SOURCE.fullmatch(source)
        if not source:
            raise OptionError("SOURCE is empty", expected="a URL, webcam, lavfi:GRAPH, a file or -")
        if match and not os.path.exists(source):
            yield match[1], match[2]
        else:
            yield f"cam{number}", source


def _resolve_outputs(destinations: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the camera and the URL of each output."""
    from ..sinks.push.destinations import destination_key

    seen = set()
    for destination in destinations:
        if len(names) > 1 and _CAMERA_PLACEHOLDER not in destination:
            raise OptionError(
                f"--to {destination} is one output for {len(names)} cameras",
                expected=f"{_CAMERA_PLACEHOLDER} in it, which stands for the name",
            )
        for name in names:
            url = destination.replace(_CAMERA_PLACEHOLDER, name)
            if destination_key(url) in seen:
                raise OptionError(f"two outputs have the same --to: {url}", expected="each URL once")
            seen.add(destination_key(url))
            yield name, url


def _is_segmented(output: OutputOptions) -> bool:
    from ..sinks.push.destinations import resolve_destination

    return resolve_destination(output).name == "segments"


def _server_options(http: str | None, token: str, *, no_page: bool, needed: bool) -> ServerOptions | None:
    if no_page and http not in (None, "off"):
        raise OptionError(f"--no-page and --http {http} contradict each other", expected="one of them")
    if no_page or http == "off" or (http is None and not needed):
        return None
    host, _, port = (http or "127.0.0.1:8080").rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise OptionError(f"invalid --http {http}", expected="HOST:PORT, PORT or off")
    return ServerOptions(host=host.strip("[]") or "127.0.0.1", port=int(port), token=token)
