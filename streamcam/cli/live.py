"""``streamcam live``: cameras in, overlays out."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ..errors import OptionError
from . import options
from .errors import print_note
from .live_table import LiveTable

if TYPE_CHECKING:
    from ..live.status import Controller
    from ..options import LiveJob, ServerOptions

_CAMERA_PANEL, _OUTPUT_PANEL = "Cameras", "Outputs"
_NAMED_SOURCE = re.compile(r"(\w[\w-]*)=(.+)", re.DOTALL)
_CAMERA_PLACEHOLDER = "{camera}"


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
            help="Where the page is served; 127.0.0.1:8080 where there is no --to.",
            show_default=False,
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="STREAMCAM_TOKEN",
            show_envvar=True,
            help="What visitors of the page must bring; needed where others can reach it.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = "",
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="Push to rtsp:// or rtmp://, a folder's NAME.m3u8 (HLS), a video file, - (MPEG-TS on standard output) "
            "or y4m:- (YUV4MPEG2); repeatable. With several cameras {camera} stands for the name.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = None,
    segment_time: Annotated[
        str | None, typer.Option(help="Begin a new file after this time, such as 10m.", rich_help_panel=_OUTPUT_PANEL)
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, av1, vp9 or ffv1, for --to.", rich_help_panel=_OUTPUT_PANEL)
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Constant quality, for --to.", rich_help_panel=_OUTPUT_PANEL)] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder speed, for --to.", rich_help_panel=_OUTPUT_PANEL)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUTPUT_PANEL)
    ] = False,
    max_latency: Annotated[
        float, typer.Option(help="Seconds; older pictures are left out and counted.", rich_help_panel=_CAMERA_PANEL)
    ] = 0.5,
    reconnect: Annotated[
        str,
        typer.Option(
            metavar="auto|never|forever|N",
            help="How often in a row a lost camera is tried again; auto: for ever, but it must be there at first.",
            rich_help_panel=_CAMERA_PANEL,
        ),
    ] = "auto",
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a camera or a peer.", rich_help_panel=_CAMERA_PANEL)
    ] = 5.0,
    realtime: Annotated[
        bool, typer.Option(help="Read files at their own rate, not as fast as possible.", rich_help_panel=_CAMERA_PANEL)
    ] = True,
    max_explain_fps: Annotated[
        float | None,
        typer.Option(
            help="Explain no more frames a second, all cameras together.", rich_help_panel=options.MODEL_PANEL
        ),
    ] = None,
    model: options.Model = "efficientnet-lite0",
    method: options.Method = "gradcam",
    param: options.Param = None,
    layer: options.Layer = "auto",
    target: options.Target = None,
    preprocess: options.Preprocess = "auto",
    labels: options.Labels = "auto",
    image_input: options.ImageInput = "",
    extra_input: options.ExtraInput = None,
    fit: options.Fit = "auto",
    batch: Annotated[
        str,
        typer.Option(help="Most frames a model call; fewer where fewer wait.", rich_help_panel=options.MODEL_PANEL),
    ] = "auto",
    precision: options.Precision = "auto",
    device: options.Device = "auto",
    colormap: options.Colormap = "turbo",
    alpha: options.Alpha = 0.6,
    scale: Annotated[
        str,
        typer.Option(
            help="Evidence drawn as full: running (largest of late, fading), frame (each frame's own), or a number.",
            rich_help_panel=options.DRAW_PANEL,
        ),
    ] = "running",
    layout: options.Layout = "overlay",
    caption: options.Caption = True,
    duration: Annotated[str | None, typer.Option(help="End by itself after this time, such as 90 or 10m.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
) -> None:
    """Show where the model looks in live cameras, as they play.

    Every picture is shown as it comes, with the newest map; nothing waits, and what is too old is left out.
    """
    from ..options import CameraOptions, DrawOptions, ExplainOptions, LiveJob, ModelOptions, OutputOptions

    option_values = options.model_options(
        model=model,
        method=method,
        param=param,
        layer=layer,
        target=target,
        preprocess=preprocess,
        labels=labels,
        image_input=image_input,
        extra_input=extra_input,
        fit=fit,
        batch=batch,
        precision=precision,
        device=device,
    )
    model_values = {
        name: option_values.pop(name) for name in ModelOptions.__dataclass_fields__ if name in option_values
    }
    cameras = tuple(
        CameraOptions(
            url=url,
            name=name,
            timeout_seconds=timeout,
            reconnect=_parse_reconnect(reconnect),
            max_latency_seconds=max_latency,
            realtime=realtime,
        )
        for name, url in _name_cameras(sources)
    )
    segment_seconds, duration_seconds = options.parse_duration(segment_time), options.parse_duration(duration)
    outputs = tuple(
        (
            name,
            OutputOptions(
                url=where,
                segment_seconds=None if segment_seconds is None else float(segment_seconds),
                codec=cast(Any, codec),
                crf=crf,
                preset=preset,
                timeout_seconds=timeout,
                overwrite=overwrite,
            ),
        )
        for name, where in _resolve_outputs(to or [], [camera.name for camera in cameras])
    )
    if segment_seconds is not None and not outputs:
        raise OptionError(f"--segment-time {segment_time} has nothing to cut", expected="--to FILE with it")
    if sum(output.url in ("-", "y4m:-") for _, output in outputs) > 1:
        raise OptionError("two outputs cannot share standard output", expected="one --to - at most")
    if as_json and any(outlet.url in ("-", "y4m:-") for _, outlet in outputs):
        raise OptionError("--json and --to - both need standard output", hint="leave one out")
    job = LiveJob(
        cameras=cameras,
        outputs=outputs,
        server=_server_options(http, token, needed=not outputs),
        model=ModelOptions(**model_values),
        explain=ExplainOptions(**option_values),
        draw=DrawOptions(layout=cast(Any, layout), colormap=cast(Any, colormap), alpha=alpha, caption=caption),
        scale=cast(Any, options.parse_scale(scale)),
        max_explain_fps=max_explain_fps,
        duration_seconds=None if duration_seconds is None else float(duration_seconds),
    )
    _run(job, as_json=as_json, quiet=quiet)


def _run(job: LiveJob, *, as_json: bool, quiet: bool) -> None:
    from ..live.pipeline import run_live

    live_table = LiveTable(quiet=quiet)

    @contextlib.contextmanager
    def serve_and_show(controller: Controller) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if job.server is not None:
                from ..web import serve

                page = stack.enter_context(serve(controller, job.server))
                live_table.print_line(f"the page is at {page.url}")
            stack.enter_context(live_table.show(controller))
            yield

    summary = run_live(job, serve=serve_and_show, notify=live_table.print_line)
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
    elif not quiet:
        for source in summary.sources:
            print_note(
                f"{source['name']}: {source['frames_in']} frames in, {source['frames_shown']} shown, "
                f"{source['frames_explained']} explained, {source['frames_dropped']} dropped, "
                f"{source['reconnects']} reconnects; latency {source['latency_ms']['p50']:.0f} ms, "
                f"99 % below {source['latency_ms']['p99']:.0f} ms"
            )
    if summary.interrupted:
        raise KeyboardInterrupt


def _name_cameras(sources: list[str]) -> Iterator[tuple[str, str]]:
    """Names and URLs; cameras without a name are ``cam1``, ``cam2`` …"""
    for number, source in enumerate(sources, 1):
        match = _NAMED_SOURCE.fullmatch(source)
        if not source:
            raise OptionError("a SOURCE is empty", expected="a URL, webcam, lavfi:GRAPH, a file or -")
        if match and not os.path.exists(source):
            yield match[1], match[2]
        else:
            yield f"cam{number}", source


def _resolve_outputs(destinations: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """The camera and the address of each output."""
    from ..sinks.push.destinations import destination_key

    seen = set()
    for destination in destinations:
        if len(names) > 1 and _CAMERA_PLACEHOLDER not in destination:
            raise OptionError(
                f"--to {destination} is one place for {len(names)} cameras",
                expected=f"{_CAMERA_PLACEHOLDER} in it, which is their name",
            )
        for name in names:
            url = destination.replace(_CAMERA_PLACEHOLDER, name)
            if destination_key(url) in seen:
                raise OptionError(f"two outputs have the same --to: {url}", expected="each place once")
            seen.add(destination_key(url))
            yield name, url


def _parse_reconnect(text: str) -> int | Literal["auto", "never", "forever"]:
    try:
        return int(text)
    except ValueError:
        return cast(Literal["auto", "never", "forever"], text)


def _server_options(http: str | None, token: str, *, needed: bool) -> ServerOptions | None:
    from ..options import ServerOptions

    if http is None and not needed:
        return None
    if http == "off":
        return None
    host, _, port = (http or "127.0.0.1:8080").rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise OptionError(f"--http {http} is not possible", expected="HOST:PORT, PORT or off")
    return ServerOptions(host=host.strip("[]") or "127.0.0.1", port=int(port), token=token)
