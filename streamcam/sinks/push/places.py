"""Where an outlet may lead, and what can be checked of it beforehand."""

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

from ...config import OutletOptions, SinkOptions
from ...errors import OptionError, SinkError
from .. import check_apart, check_folder, check_place
from ..codecs import CONTAINERS, choose_encoder, choose_live_encoder


@dataclass(frozen=True, slots=True)
class Kind:
    """A way in which pictures leave.

    Attributes:
        name: of it; one of `streamcam.sinks.codecs.STREAMS` where it is one.
        again: when a writer that failed gets a successor: ``always``, where it was ``killed``, or ``never``.
        grace: seconds a writer has for coming to its end.
        waiting: how many pictures may wait for it: whoever watches wants the newest, a file wants all.
        network: there is a peer that may fall silent.
        stdout: pictures go to standard output.
    """

    name: Literal["rtsp", "rtmp", "HLS", "MPEG-TS", "YUV4MPEG2", "file", "segments"]
    again: Literal["always", "killed", "never"]
    grace: float
    waiting: int
    network: bool = False
    stdout: bool = False


_RTSP = Kind("rtsp", "always", 3.0, 4, network=True)
_RTMP = Kind("rtmp", "always", 3.0, 4, network=True)
_HLS = Kind("HLS", "killed", 10.0, 12)
_TS = Kind("MPEG-TS", "never", 3.0, 4, stdout=True)
_RAW = Kind("YUV4MPEG2", "never", 3.0, 4, stdout=True)
# The index of a large file is moved to its front in the end.
_FILE = Kind("file", "never", 60.0, 12)
_SEGMENTS = Kind("segments", "killed", 60.0, 12)


def kind_of(options: OutletOptions) -> Kind:
    """The way in which an outlet leads.

    Raises:
        SinkError: there is none.
    """
    to = options.to
    if to in ("-", "raw:-"):
        return _TS if to == "-" else _RAW
    if "://" in to:
        scheme = to.partition("://")[0].lower()
        if scheme not in ("rtsp", "rtmp"):
            raise SinkError(f"nothing can be pushed to {scheme}://", wanted="rtsp:// or rtmp://, a file or -")
        if not _host(to):
            raise SinkError(f"what follows {scheme}:// names no host", wanted=f"{scheme}://HOST/NAME")
        return _RTSP if scheme == "rtsp" else _RTMP
    suffix = Path(to).suffix.lower()
    if suffix == ".m3u8":
        return _HLS
    if suffix in CONTAINERS:
        return _FILE if options.segment is None else _SEGMENTS
    what = f"{to} has the suffix {suffix!r}" if suffix else f"{to} has no suffix to choose the format by"
    raise SinkError(what, wanted=f"one of .m3u8, {', '.join(CONTAINERS)}, or rtsp://, rtmp:// or -")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def sink_options(options: OutletOptions, path: Path) -> SinkOptions:
    """What `streamcam.sinks.open_sink` is told for one file of an outlet."""
    return SinkOptions(
        path=path, codec=options.codec, crf=options.crf, preset=options.preset, overwrite=options.overwrite
    )


def place_of(to: str) -> tuple[int, int] | str:
    """What two outputs cannot have in common, however each is spelt."""
    if to in ("-", "raw:-") or "://" in to:
        return to
    try:
        found = os.stat(to)
    except OSError:
        return os.path.realpath(to)
    return found.st_dev, found.st_ino


def check(options: OutletOptions, rate: Fraction, inputs: Sequence[str] = ()) -> Kind:
    """Checks all that can be checked before the first picture; creates nothing.

    Args:
        options: where to and how.
        rate: frames a second.
        inputs: what is read meanwhile, files and others.

    Raises:
        SinkError: nothing can be pushed there, an existing file, an input, a folder that is missing or cannot be
            written to, a codec that does not fit.
        OptionError: a quality or speed that the codec does not have, ``--segment`` for what is no file.
    """
    kind = kind_of(options)
    if options.segment is not None and kind is not _SEGMENTS:
        raise OptionError(f"--segment cannot be used with {kind.name}", wanted="a video file")
    if kind in (_FILE, _SEGMENTS):
        choose_encoder(sink_options(options, Path(options.to)))
    elif kind is not _RAW:
        choose_live_encoder(kind.name, options, rate)
    if kind in (_FILE, _HLS):
        _check_file(Path(options.to), options.overwrite, inputs, listed=kind is _HLS)
    elif kind is _SEGMENTS:
        check_folder(Path(options.to).parent, "--to")
    elif kind.stdout and sys.stdout is not None and os.isatty(1):
        raise SinkError("standard output is a terminal", do="pipe it into a program, or write a file")
    return kind


def _check_file(path: Path, overwrite: bool, inputs: Sequence[str], *, listed: bool) -> None:
    """``listed``: it is a list with segments beside it, and its folder is made where only that is missing."""
    if listed and not path.parent.exists():
        check_folder(path.parent.parent, "--to")
        return
    check_place(path, overwrite=overwrite, option="--to", inputs=inputs)
    if listed:
        segment = re.compile(rf"{re.escape(path.stem)}-\d{{5,}}\.ts")
        for one in filter(segment.fullmatch, os.listdir(path.parent)):
            check_apart(path.with_name(one), inputs, "--to")
