"""The FFmpeg input of each kind of camera; see `streamcam.sources.cameras.CAMERAS`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av.error

from ...errors import SourceError, redact_url
from ...options import CameraOptions
from ..access import access_options
from ..container import check_file, image_format, translate_open_error
from ..frame_limits import limit_options
from .credentials import add_login
from .silence import MAX_SILENCE_SECONDS
from .webcams import CAPTURE_FORMATS, list_webcams

_MAX_ANALYSIS_SECONDS = 0.5
"""Seconds of a stream to analyze at most for its format; more if no video is found, see `open_input`."""


@dataclass(frozen=True, slots=True)
class CameraEndpoint:
    """An input for FFmpeg, and its properties.

    Attributes:
        name: for messages, without credentials.
        url: to open; empty for standard input.
        translate_error: from an error of opening to a message for the user.
        format: name of FFmpeg's format; None to detect it.
        options: of FFmpeg.
        is_finite: True if the stream's end is final; otherwise its end means a lost connection.
        is_recording: True if the source waits to be read and delivers faster than in real time.
        can_wait: True if a recording's first frame may wait until the pipeline is ready; a simulated camera does not
            wait.
        may_be_recording: True if a stream of known length is a recording.
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

    @property
    def is_remote(self) -> bool:
        """True if reading it can take any time: a network peer, or a device."""
        return bool(self.url) and not self.is_recording


def rtsp(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``rtsp://`` and ``rtsps://``.

    ``auto`` takes TCP, because a lost UDP packet damages many frames, and UDP if the camera refuses TCP.
    """
    transports = {"auto": "tcp+udp", "tcp": "tcp", "udp": "udp"}
    # No fflags=nobuffer: it throws the analysed packets away, and with them the first key frame.
    protocol_options = {
        "rtsp_transport": transports[options.rtsp_transport],
        "allowed_media_types": "video+audio" if options.audio == "copy" else "video",
        "timeout": _microseconds(MAX_SILENCE_SECONDS),
        # The session's description names the codec: the analysis ends with the first packet.
        "probesize": "32",
    }
    if options.rtsp_transport == "auto":
        protocol_options["rtsp_flags"] = "prefer_tcp"
    return _remote(options, protocol_options)


def rtmp(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``rtmp://``."""
    # Its "timeout" would make FFmpeg listen for a connection.
    return _remote(options, {"rw_timeout": _microseconds(MAX_SILENCE_SECONDS)} | _analysis_options(options))


def http(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``http(s)://``: MJPEG, HLS, transport streams, snapshots, files."""
    microseconds = _microseconds(MAX_SILENCE_SECONDS)
    protocol_options = {"rw_timeout": microseconds, "timeout": microseconds}
    return _remote(options, protocol_options | _analysis_options(options), may_be_recording=True)


def _remote(
    options: CameraOptions, protocol_options: dict[str, str], *, may_be_recording: bool = False
) -> CameraEndpoint:
    url = add_login(options.url, options.credentials)
    name = redact_url(url)

    def translate_error(error: Exception) -> SourceError:
        return translate_open_error(error, url, name, options.timeout_seconds)

    return CameraEndpoint(
        name,
        url,
        translate_error,
        options=protocol_options | {"fpsprobesize": "0"} | _input_limits(options),
        can_wait=may_be_recording,
        may_be_recording=may_be_recording,
    )


def webcam(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``webcam``, ``webcam:N`` and ``/dev/videoN``."""
    name = options.url
    number = name.removeprefix("/dev/video").removeprefix("webcam").removeprefix(":") or "0"
    if not number.isdecimal():
        raise SourceError(f"{name} is not a camera's number", expected="webcam, webcam:N or /dev/videoN")
    if sys.platform not in CAPTURE_FORMATS:
        raise SourceError(f"{name}: cameras of {sys.platform} cannot be read", hint="use a network camera")
    paths = {device.number: device.path for device in list_webcams()}
    path = f"/dev/video{number}" if sys.platform == "linux" else paths.get(int(number), number)
    # Most cameras there refuse FFmpeg's default rate, 29.97.
    input_options = {"framerate": "30"} if sys.platform == "darwin" else {}

    def translate_error(error: Exception) -> SourceError:
        known = list_webcams()
        if all(device.number != int(number) for device in known):
            expected = f"one of {', '.join(map(str, known))}" if known else "a connected camera; none found"
            return SourceError(f"{name} does not exist", expected=expected)
        reason = getattr(error, "strerror", None) or str(error)
        return SourceError(f"{name} cannot be opened: {reason}", hint="check that no other program has it open")

    return CameraEndpoint(name, path, translate_error, format=CAPTURE_FORMATS[sys.platform], options=input_options)


def lavfi(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``lavfi:GRAPH``, frames that FFmpeg's filters generate: a simulated camera."""

    def translate_error(error: Exception) -> SourceError:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "try lavfi:testsrc2=size=640x360:rate=25"
        return SourceError(f"{options.url} is not a valid filter graph: {reason}", hint=hint)

    graph = options.url.removeprefix("lavfi:")
    return CameraEndpoint(options.url, graph, translate_error, format="lavfi", is_finite=True, is_recording=True)


def file(options: CameraOptions) -> CameraEndpoint:
    """Return the input of a file.

    Raises:
        SourceError: it is missing, empty, a folder, or may not be read.
    """
    path = options.url.removeprefix("file://")
    check_file(Path(path))

    def translate_error(error: Exception) -> SourceError:
        return translate_open_error(error, path, path, options.timeout_seconds)

    # Without the prefix, FFmpeg parses a colon in the name as a protocol.
    return CameraEndpoint(
        path,
        f"file:{path}",
        translate_error,
        format=image_format(path),
        options=_input_limits(options),
        is_finite=True,
        is_recording=True,
        can_wait=True,
    )


def standard_input(options: CameraOptions) -> CameraEndpoint:
    """Return the input of ``-``, standard input.

    It is read as fast as it arrives.
    """

    def translate_error(error: Exception) -> SourceError:
        if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
            return SourceError("standard input is not a video", expected="MPEG-TS, Matroska, raw H.264, MJPEG, …")
        return SourceError(f"standard input cannot be read: {getattr(error, 'strerror', None) or error}")

    input_options = _analysis_options(options) | _input_limits(options)
    return CameraEndpoint("standard input", "", translate_error, options=input_options, is_finite=True)


def _input_limits(options: CameraOptions) -> dict[str, str]:
    """Return the limits on the input's addresses and frame size."""
    scheme, separator, _ = options.url.partition("://")
    scheme = scheme.lower() if separator else "-" if options.url == "-" else "file"
    limits = access_options(scheme, allow_playlist_files=options.allow_playlist_files)
    return limits | limit_options(options.max_pixels)


def _analysis_options(options: CameraOptions) -> dict[str, str]:
    return {
        "analyzeduration": _microseconds(min(_MAX_ANALYSIS_SECONDS, options.timeout_seconds / 2)),
        "fpsprobesize": "0",
    }


def _microseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000))
