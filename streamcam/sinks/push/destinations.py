"""Destinations of live outputs, and their checks before anything is pushed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ...errors import SinkError, UnknownFormatError
from ...options import OutputOptions, SinkOptions
from ..codecs import CONTAINERS, choose_encoder, choose_live_encoder
from ..paths import check_directory, check_not_input, check_output_path
from .playlist import is_own_playlist, segment_pattern


@dataclass(frozen=True, slots=True)
class Destination:
    """A kind of live output.

    Attributes:
        name: of the kind; for a stream, one of `streamcam.sinks.codecs.STREAMS`.
        restart_policy: when a failed worker is replaced: ``always``, if it was ``killed``, or ``never``.
        shutdown_timeout_seconds: seconds a worker has to finish.
        queue_depth: how many frames may wait: viewers need the newest, a file needs all.
        network: has a peer that may stall.
        stdout: frames go to standard output.
    """

    name: Literal["rtsp", "rtmp", "HLS", "MPEG-TS", "YUV4MPEG2", "file", "segments"]
    restart_policy: Literal["always", "killed", "never"]
    shutdown_timeout_seconds: float
    queue_depth: int
    network: bool = False
    stdout: bool = False


_RTSP = Destination("rtsp", "always", 3.0, 4, network=True)
_RTMP = Destination("rtmp", "always", 3.0, 4, network=True)
_HLS = Destination("HLS", "killed", 10.0, 12)
_TS = Destination("MPEG-TS", "never", 3.0, 4, stdout=True)
_Y4M = Destination("YUV4MPEG2", "never", 3.0, 4, stdout=True)
# The index of a large file is moved to its front in the end.
_FILE = Destination("file", "never", 60.0, 12)
_SEGMENTS = Destination("segments", "killed", 60.0, 12)


def resolve_destination(options: OutputOptions) -> Destination:
    """Return the destination of an output.

    Raises:
        SinkError: there is none.
    """
    url = options.url
    if url in ("-", "y4m:-"):
        return _TS if url == "-" else _Y4M
    if "://" in url:
        scheme = url.partition("://")[0].lower()
        if scheme not in ("rtsp", "rtmp"):
            raise SinkError(f"cannot push to {scheme}://", expected="rtsp:// or rtmp://, a file or -")
        if not _host(url):
            raise SinkError(f"invalid {scheme}:// URL without a host", expected=f"{scheme}://HOST/NAME")
        return _RTSP if scheme == "rtsp" else _RTMP
    suffix = Path(url).suffix.lower()
    if suffix == ".m3u8":
        return _HLS
    if suffix in CONTAINERS:
        # Other outputs ignore the segment time: a playlist has segments of its own length.
        return _FILE if options.segment_seconds is None else _SEGMENTS
    problem = f"{url} has the suffix {suffix!r}" if suffix else f"{url} has no suffix to choose the format by"
    raise UnknownFormatError(problem, expected=f"one of .m3u8, {', '.join(CONTAINERS)}, or rtsp://, rtmp:// or -")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def sink_options(options: OutputOptions, path: Path) -> SinkOptions:
    """Return the options of `streamcam.sinks.open_sink` for one file of an output."""
    return SinkOptions(
        path=path,
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        overwrite=options.overwrite,
        encoders=1,  # frames of a camera do not wait for the end of a segment
    )


def destination_key(url: str) -> tuple[int, int] | str:
    """Return a key that no two outputs may share.

    Different spellings of one destination give the same key.
    """
    if url in ("-", "y4m:-") or "://" in url:
        return url
    try:
        status = os.stat(url)
    except OSError:
        return os.path.realpath(url)
    return status.st_dev, status.st_ino


def check_destination(options: OutputOptions, fps: Fraction, inputs: Sequence[str] = ()) -> Destination:
    """Check an output before the first frame; create no file.

    Args:
        options: of the output.
        fps: frames a second.
        inputs: paths and URLs of the inputs.

    Raises:
        SinkError: an unsupported destination, an existing file, an input, a folder that cannot be created or written
            to, a codec that does not fit.
        OptionError: a quality or speed that the codec does not have.
    """
    destination = resolve_destination(options)
    if destination in (_FILE, _SEGMENTS):
        choose_encoder(sink_options(options, Path(options.url)))
    elif destination is not _Y4M:
        choose_live_encoder(destination.name, options, fps)
    if destination in (_FILE, _HLS):
        _check_file(Path(options.url), options.overwrite, inputs, is_playlist=destination is _HLS)
    elif destination is _SEGMENTS:
        _check_folder(Path(options.url).parent)
    elif destination.stdout and sys.stdout is not None and os.isatty(1):
        raise SinkError("standard output is a terminal", hint="pipe it into a program, or write a file")
    return destination


def create_folder(folder: Path) -> None:
    """Create the folder of an output, with all its parents.

    Raises:
        SinkError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the folder {folder} cannot be created: {error.strerror}") from error


def _check_folder(folder: Path) -> None:
    """Check that files can be created in a folder.

    If it is missing, check its nearest parent.
    """
    existing = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not existing.is_dir():
        raise SinkError(f"{existing} is a file", expected="a folder", hint="choose another name with --to")
    check_directory(existing, "--to")


def _check_file(path: Path, overwrite: bool, inputs: Sequence[str], *, is_playlist: bool) -> None:
    """Check the file, and for a playlist its segments too; its folder may be missing.

    A playlist that streamcam wrote is continued.
    """
    if not path.parent.is_dir():
        _check_folder(path.parent)
        return
    overwrite = overwrite or (is_playlist and path.is_file() and is_own_playlist(path))
    check_output_path(path, overwrite=overwrite, option="--to", inputs=inputs)
    if is_playlist:
        segment = re.compile(segment_pattern(path))
        for segment_name in filter(segment.fullmatch, os.listdir(path.parent)):
            check_not_input(path.with_name(segment_name), inputs, "--to")
