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
from .board import Board
from .reporting import say

if TYPE_CHECKING:
    from ..config import LiveJob, PageOptions
    from ..live.status import Studio

_IN, _OUT = "Cameras", "Outputs"
_NAMED = re.compile(r"(\w[\w-]*)=(.+)", re.DOTALL)
_PLACE = "{camera}"


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
            rich_help_panel=_OUT,
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="STREAMCAM_TOKEN",
            show_envvar=True,
            help="What visitors of the page must bring; needed where others can reach it.",
            rich_help_panel=_OUT,
        ),
    ] = "",
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="Push to rtsp:// or rtmp://, a folder's NAME.m3u8 (HLS), a video file, - (MPEG-TS on standard output) "
            "or raw:- (YUV4MPEG2); repeatable. With several cameras {camera} stands for the name.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help="Begin a new file after this time, such as 10m.", rich_help_panel=_OUT)
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, av1, vp9 or ffv1, for --to.", rich_help_panel=_OUT)
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Constant quality, for --to.", rich_help_panel=_OUT)] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder speed, for --to.", rich_help_panel=_OUT)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUT)
    ] = False,
    max_age: Annotated[
        float, typer.Option(help="Seconds; older pictures are left out and counted.", rich_help_panel=_IN)
    ] = 0.5,
    reconnect: Annotated[
        str,
        typer.Option(
            metavar="auto|never|forever|N",
            help="How often in a row a lost camera is tried again; auto: for ever, but it must be there at first.",
            rich_help_panel=_IN,
        ),
    ] = "auto",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a camera or a peer.", rich_help_panel=_IN)] = 5.0,
    realtime: Annotated[
        bool, typer.Option(help="Read files at their own rate, not as fast as possible.", rich_help_panel=_IN)
    ] = True,
    explain_fps: Annotated[
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
    feed: options.Feed = None,
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
            rich_help_panel=options.LOOK_PANEL,
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
    from ..config import CameraOptions, DrawOptions, ExplainOptions, LiveJob, ModelOptions, OutletOptions

    given = options.model_options(
        model=model,
        method=method,
        param=param,
        layer=layer,
        target=target,
        preprocess=preprocess,
        labels=labels,
        image_input=image_input,
        feed=feed,
        fit=fit,
        batch=batch,
        precision=precision,
        device=device,
    )
    of_the_model = {name: given.pop(name) for name in ModelOptions.__dataclass_fields__ if name in given}
    cameras = tuple(
        CameraOptions(
            url=url,
            name=name,
            timeout=timeout,
            reconnect=_reconnect(reconnect),
            max_age=max_age,
            realtime=realtime,
        )
        for name, url in _named(sources)
    )
    length, until = options.seconds_of(segment), options.seconds_of(duration)
    outlets = tuple(
        (
            name,
            OutletOptions(
                to=where,
                segment=None if length is None else float(length),
                codec=cast(Any, codec),
                crf=crf,
                preset=preset,
                timeout=timeout,
                overwrite=overwrite,
            ),
        )
        for name, where in _placed(to or [], [camera.name for camera in cameras])
    )
    if length is not None and not outlets:
        raise OptionError(f"--segment {segment} has nothing to cut", wanted="--to FILE with it")
    if sum(outlet.to in ("-", "raw:-") for _, outlet in outlets) > 1:
        raise OptionError("two outputs cannot share standard output", wanted="one --to - at most")
    if as_json and any(outlet.to in ("-", "raw:-") for _, outlet in outlets):
        raise OptionError("--json and --to - both need standard output", do="leave one out")
    job = LiveJob(
        cameras=cameras,
        outlets=outlets,
        page=_page(http, token, needed=not outlets),
        model=ModelOptions(**of_the_model),
        explain=ExplainOptions(**given),
        draw=DrawOptions(layout=cast(Any, layout), colormap=cast(Any, colormap), alpha=alpha, caption=caption),
        scale=cast(Any, options.scale_of(scale)),
        explain_fps=explain_fps,
        duration=None if until is None else float(until),
    )
    _run(job, as_json=as_json, quiet=quiet)


def _run(job: LiveJob, *, as_json: bool, quiet: bool) -> None:
    from ..live.road import run_live

    board = Board(quiet=quiet)

    @contextlib.contextmanager
    def shown(studio: Studio) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if job.page is not None:
                from ..live.page import serve

                page = stack.enter_context(serve(studio, job.page))
                board.say(f"the page is at {page.url}")
            stack.enter_context(board.showing(studio))
            yield

    summary = run_live(job, serve=shown, say=board.say)
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
    elif not quiet:
        for source in summary.sources:
            say(
                f"{source['name']}: {source['frames_in']} frames in, {source['frames_shown']} shown, "
                f"{source['frames_explained']} explained, {source['frames_dropped']} dropped, "
                f"{source['reconnects']} reconnects; age {source['age_ms']['p50']:.0f} ms, "
                f"99 % below {source['age_ms']['p99']:.0f} ms"
            )
    if summary.interrupted:
        raise KeyboardInterrupt


def _named(sources: list[str]) -> Iterator[tuple[str, str]]:
    """Names and URLs; cameras without a name are ``cam1``, ``cam2`` …"""
    for number, source in enumerate(sources, 1):
        match = _NAMED.fullmatch(source)
        if not source:
            raise OptionError("a SOURCE is empty", wanted="a URL, webcam, lavfi:GRAPH, a file or -")
        if match and not os.path.exists(source):
            yield match[1], match[2]
        else:
            yield f"cam{number}", source


def _placed(places: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """The camera and the address of each output."""
    from ..sinks.push.places import place_of

    seen = set()
    for place in places:
        if len(names) > 1 and _PLACE not in place:
            raise OptionError(
                f"--to {place} is one place for {len(names)} cameras", wanted=f"{_PLACE} in it, which is their name"
            )
        for name in names:
            where = place.replace(_PLACE, name)
            if place_of(where) in seen:
                raise OptionError(f"two outputs have the same --to: {where}", wanted="each place once")
            seen.add(place_of(where))
            yield name, where


def _reconnect(text: str) -> int | Literal["auto", "never", "forever"]:
    try:
        return int(text)
    except ValueError:
        return cast(Literal["auto", "never", "forever"], text)


def _page(http: str | None, token: str, *, needed: bool) -> PageOptions | None:
    from ..config import PageOptions

    if http is None and not needed:
        return None
    if http == "off":
        return None
    host, _, port = (http or "127.0.0.1:8080").rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise OptionError(f"--http {http} is not possible", wanted="HOST:PORT, PORT or off")
    return PageOptions(host=host.strip("[]") or "127.0.0.1", port=int(port), token=token)
