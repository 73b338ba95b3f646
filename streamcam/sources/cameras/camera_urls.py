"""How each kind of camera is opened; see `streamcam.sources.CAMERAS`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av.error

from ...errors import SourceError, redact_url
from ...options import CameraOptions
from ..container import check_file, image_format, translate_open_error
from .webcams import CAPTURE_FORMATS, list_webcams

_MAX_ANALYSIS_SECONDS = 0.5
"""Most seconds of a stream that are looked at to find its format and rate."""


@dataclass(frozen=True, slots=True)
class CameraEndpoint:
    """What FFmpeg is to open, and what to expect of it.

    Attributes:
        name: fit for messages.
        url: what is opened; empty for standard input.
        translate_error: what is wrong, for the user, where that fails.
        format: name of FFmpeg's format; None lets it find out.
        options: of FFmpeg.
        is_finite: True where the end of the stream is meant, and nothing can be opened again; elsewhere the connection was
            lost.
        is_recording: True for what waits to be read, and comes faster than in real time.
        can_wait: True where the first frame may wait until somebody is ready for it; a stand-in for a camera does not.
        may_be_recording: True where what has a known length is recorded.
    """

    name: str
    url: str
    translate_error: Callable[[Exception], SourceError]
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    is_finite: bool = False
    is_recording: bool = False
    can_wait: bool = False
    may_be_recording: bool = False


def rtsp(options: CameraOptions) -> CameraEndpoint:
    """``rtsp://`` and ``rtsps://``, over TCP: a lost UDP packet would spoil pictures until the next key frame."""
    # No fflags=nobuffer: it throws the analysed packets away, and with them the first key frame.
    protocol_options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "timeout": _microseconds(options.timeout_seconds),
    }
    return _remote(options, protocol_options)


def rtmp(options: CameraOptions) -> CameraEndpoint:
    """``rtmp://``."""
    # Its "timeout" would make FFmpeg wait for somebody to connect.
    return _remote(options, {"rw_timeout": _microseconds(options.timeout_seconds)})


def http(options: CameraOptions) -> CameraEndpoint:
    """``http(s)://``: MJPEG, HLS, transport streams, files."""
    protocol_options = {
        "rw_timeout": _microseconds(options.timeout_seconds),
        "timeout": _microseconds(options.timeout_seconds),
    }
    return _remote(options, protocol_options, may_be_recording=True)


def _remote(
    options: CameraOptions, protocol_options: dict[str, str], *, may_be_recording: bool = False
) -> CameraEndpoint:
    name = redact_url(options.url)

    def translate_error(error: Exception) -> SourceError:
        return translate_open_error(error, options.url, name, options.timeout_seconds)

    return CameraEndpoint(
        name,
        options.url,
        translate_error,
        options=protocol_options | _analysis_options(options),
        may_be_recording=may_be_recording,
    )


def webcam(options: CameraOptions) -> CameraEndpoint:
    """``webcam``, ``webcam:N`` and ``/dev/videoN``."""
    name = options.url
    number = name.removeprefix("/dev/video").removeprefix("webcam").removeprefix(":") or "0"
    if not number.isdecimal():
        raise SourceError(f"{name} is not a camera's number", expected="webcam, webcam:N or /dev/videoN")
    if sys.platform not in CAPTURE_FORMATS:
        raise SourceError(f"{name}: cameras of {sys.platform} cannot be read", hint="use a network camera")
    paths = {device.number: device.path for device in list_webcams()}
    path = f"/dev/video{number}" if sys.platform == "linux" else paths.get(int(number), number)
    # Its usual rate, which FFmpeg takes for 29.97, is refused by most cameras there.
    input_options = {"framerate": "30"} if sys.platform == "darwin" else {}

    def translate_error(error: Exception) -> SourceError:
        known = list_webcams()
        if all(device.number != int(number) for device in known):
            expected = f"one of {', '.join(map(str, known))}" if known else "a camera that is plugged in: there is none"
            return SourceError(f"{name} does not exist", expected=expected)
        reason = getattr(error, "strerror", None) or str(error)
        return SourceError(f"{name} cannot be opened: {reason}", hint="check that no other program has it open")

    return CameraEndpoint(name, path, translate_error, format=CAPTURE_FORMATS[sys.platform], options=input_options)


def lavfi(options: CameraOptions) -> CameraEndpoint:
    """``lavfi:GRAPH``, pictures that FFmpeg's filters make: a stand-in for a camera."""

    def translate_error(error: Exception) -> SourceError:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "try lavfi:testsrc2=size=640x360:rate=25"
        return SourceError(f"{options.url} is not a graph of filters that runs: {reason}", hint=hint)

    graph = options.url.removeprefix("lavfi:")
    return CameraEndpoint(options.url, graph, translate_error, format="lavfi", is_finite=True, is_recording=True)


def file(options: CameraOptions) -> CameraEndpoint:
    """A file.

    Raises:
        SourceError: it is missing, empty, a folder, or may not be read.
    """
    path = options.url.removeprefix("file://")
    check_file(Path(path))

    def translate_error(error: Exception) -> SourceError:
        return translate_open_error(error, path, path, options.timeout_seconds)

    # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
    return CameraEndpoint(
        path,
        f"file:{path}",
        translate_error,
        format=image_format(path),
        is_finite=True,
        is_recording=True,
        can_wait=True,
    )


def standard_input(options: CameraOptions) -> CameraEndpoint:
    """``-``: whatever is written there, as fast as it comes; it is not known to be a recording."""

    def translate_error(error: Exception) -> SourceError:
        if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
            return SourceError("standard input is not a video", expected="MPEG-TS, Matroska, raw H.264, MJPEG, …")
        return SourceError(f"standard input cannot be read: {getattr(error, 'strerror', None) or error}")

    return CameraEndpoint("standard input", "", translate_error, options=_analysis_options(options), is_finite=True)


def _analysis_options(options: CameraOptions) -> dict[str, str]:
    return {
        "analyzeduration": _microseconds(min(_MAX_ANALYSIS_SECONDS, options.timeout_seconds / 2)),
        "fpsprobesize": "2",
    }


def _microseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000))
