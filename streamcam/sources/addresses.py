"""How each kind of camera is opened; see `streamcam.sources.CAMERAS`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av.error

from ..config import CameraOptions
from ..errors import SourceError, masked
from .devices import FORMATS, devices
from .opening import check_file, image_format, translated

_ANALYSED = 0.5
"""Most seconds of a stream that are looked at to find its format and rate."""


@dataclass(frozen=True, slots=True)
class Address:
    """What FFmpeg is to open, and what to expect of it.

    Attributes:
        name: fit for messages.
        file: what is opened; empty for standard input.
        refused: what is wrong, for the user, where that fails.
        format: name of FFmpeg's format; None lets it find out.
        options: of FFmpeg.
        ends: True where the end of the stream is meant, and nothing can be opened again; elsewhere the connection was
            lost.
        recorded: True for what waits to be read, and comes faster than in real time.
        waits: True where the first frame may wait until somebody is ready for it; a stand-in for a camera does not.
        recordings: True where what has a known length is recorded.
    """

    name: str
    file: str
    refused: Callable[[Exception], SourceError]
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    ends: bool = False
    recorded: bool = False
    waits: bool = False
    recordings: bool = False


def rtsp(options: CameraOptions) -> Address:
    """``rtsp://`` and ``rtsps://``, over TCP: a lost UDP packet would spoil pictures until the next key frame."""
    # No fflags=nobuffer: it throws the analysed packets away, and with them the first key frame.
    over = {"rtsp_transport": "tcp", "allowed_media_types": "video", "timeout": _micro(options.timeout)}
    return _remote(options, over)


def rtmp(options: CameraOptions) -> Address:
    """``rtmp://``."""
    # Its "timeout" would make FFmpeg wait for somebody to connect.
    return _remote(options, {"rw_timeout": _micro(options.timeout)})


def http(options: CameraOptions) -> Address:
    """``http(s)://``: MJPEG, HLS, transport streams, files."""
    limits = {"rw_timeout": _micro(options.timeout), "timeout": _micro(options.timeout)}
    return _remote(options, limits, recordings=True)


def _remote(options: CameraOptions, limits: dict[str, str], *, recordings: bool = False) -> Address:
    name = masked(options.url)

    def refused(error: Exception) -> SourceError:
        return translated(error, options.url, name, options.timeout)

    return Address(name, options.url, refused, options=limits | _analysis(options), recordings=recordings)


def webcam(options: CameraOptions) -> Address:
    """``webcam``, ``webcam:N`` and ``/dev/videoN``."""
    name = options.url
    number = name.removeprefix("/dev/video").removeprefix("webcam").removeprefix(":") or "0"
    if not number.isdecimal():
        raise SourceError(f"{name} is not a camera's number", wanted="webcam, webcam:N or /dev/videoN")
    if sys.platform not in FORMATS:
        raise SourceError(f"{name}: cameras of {sys.platform} cannot be read", do="use a network camera")
    paths = {device.number: device.path for device in devices()}
    path = f"/dev/video{number}" if sys.platform == "linux" else paths.get(int(number), number)
    # Its usual rate, which FFmpeg takes for 29.97, is refused by most cameras there.
    rate = {"framerate": "30"} if sys.platform == "darwin" else {}

    def refused(error: Exception) -> SourceError:
        known = devices()
        if all(device.number != int(number) for device in known):
            there = f"one of {', '.join(map(str, known))}" if known else "a camera that is plugged in: there is none"
            return SourceError(f"{name} does not exist", wanted=there)
        reason = getattr(error, "strerror", None) or str(error)
        return SourceError(f"{name} cannot be opened: {reason}", do="check that no other program has it open")

    return Address(name, path, refused, format=FORMATS[sys.platform], options=rate)


def lavfi(options: CameraOptions) -> Address:
    """``lavfi:GRAPH``, pictures that FFmpeg's filters make: a stand-in for a camera."""

    def refused(error: Exception) -> SourceError:
        reason = getattr(error, "strerror", None) or str(error)
        do = "try lavfi:testsrc2=size=640x360:rate=25"
        return SourceError(f"{options.url} is not a graph of filters that runs: {reason}", do=do)

    graph = options.url.removeprefix("lavfi:")
    return Address(options.url, graph, refused, format="lavfi", ends=True, recorded=True)


def file(options: CameraOptions) -> Address:
    """A file.

    Raises:
        SourceError: it is missing, empty, a folder, or may not be read.
    """
    path = options.url.removeprefix("file://")
    check_file(Path(path))

    def refused(error: Exception) -> SourceError:
        return translated(error, path, path, options.timeout)

    # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
    return Address(path, f"file:{path}", refused, format=image_format(path), ends=True, recorded=True, waits=True)


def standard_input(options: CameraOptions) -> Address:
    """``-``: whatever is written there, as fast as it comes; it is not known to be a recording."""

    def refused(error: Exception) -> SourceError:
        if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
            return SourceError("standard input is not a video", wanted="MPEG-TS, Matroska, raw H.264, MJPEG, …")
        return SourceError(f"standard input cannot be read: {getattr(error, 'strerror', None) or error}")

    return Address("standard input", "", refused, options=_analysis(options), ends=True)


def _analysis(options: CameraOptions) -> dict[str, str]:
    return {"analyzeduration": _micro(min(_ANALYSED, options.timeout / 2)), "fpsprobesize": "2"}


def _micro(seconds: float) -> str:
    return str(int(seconds * 1_000_000))
