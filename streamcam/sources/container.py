"""Opening a container, and one-line errors if that fails."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import SourceError, did_you_mean, redact_url
from ..media import cuda
from ..media.mp4_boxes import iter_boxes
from .access import access_options, playlist_kind
from .frame_limits import limit_options
from .image_headers import is_animated_png

if TYPE_CHECKING:
    from ..options import SourceOptions

_TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}
"""Demuxers that render any text file as an image."""


def open_container(source: SourceOptions, *, use_nvdec: bool = False, keep_on_gpu: bool = False) -> InputContainer:
    """Open a file or an http(s) URL for demuxing.

    Args:
        source: path or URL, and its limits.
        use_nvdec: decode on the GPU if it supports the codec, else on the CPU.
        keep_on_gpu: leave its frames there.

    Raises:
        SourceError: the file or URL cannot be opened.
    """
    if not use_nvdec:
        return _open(source, None)
    if not keep_on_gpu:
        return _open(source, HWAccel("cuda", allow_software_fallback=True))
    with cuda.context():
        return _open(source, HWAccel("cuda", "0", options={**cuda.CONTEXT_OPTIONS}, is_hw_owned=True))


def _open(source: SourceOptions, accelerator: HWAccel | None) -> InputContainer:
    path = check_input(source.url)
    name, timeout_seconds = redact_url(path), source.timeout_seconds
    scheme, is_remote, _ = path.partition("://")
    options = {
        **access_options(scheme.lower() if is_remote else "file", allow_playlist_files=source.allow_playlist_files),
        **limit_options(source.max_pixels),
    }
    try:
        if is_remote:
            microseconds = str(int(timeout_seconds * 1_000_000))
            options |= {"rw_timeout": microseconds, "timeout": microseconds}
            return av.open(
                path, options=options, timeout=timeout_seconds, metadata_errors="replace", hwaccel=accelerator
            )
        # Without the prefix, FFmpeg parses a colon in the name as a protocol; without the format, a percent sign as
        # the pattern of an image sequence.
        return av.open(
            f"file:{path}", format=image_format(path), options=options, metadata_errors="replace", hwaccel=accelerator
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # The chain of a URL would show the credentials that the message masks.
        raise translate_open_error(error, path, name, timeout_seconds) from (None if is_remote else error)


def nvdec_unavailable_reason() -> str:
    """Return why no GPU can decode here; empty if one can."""
    try:
        HWAccel(device_type="cuda", allow_software_fallback=False).create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        return f"no NVIDIA GPU responds: {getattr(error, 'strerror', None) or error}"
    return ""


def choose_video(container: InputContainer, name: str) -> VideoStream:
    """Return the stream to read: the best video that is not cover art.

    Raises:
        SourceError: there is none, or this build cannot decode it.
    """
    if container.format.name in _TEXT_ART:
        raise SourceError(f"{name} is a text file", expected="a video or an image")
    video_streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not video_streams:
        stream_types = sorted({s.type for s in container.streams if s.type in ("audio", "subtitle")})
        found = f"only {' and '.join(stream_types)}" if stream_types else "no stream"
        raise SourceError(f"{name} has no video stream, {found}", expected="a video or an image")
    best = container.streams.best("video")
    chosen = best if isinstance(best, VideoStream) and best in video_streams else video_streams[0]
    if chosen.codec_context is None:
        raise SourceError(f"{name} is in a video format that cannot be decoded here", hint="convert it to H.264 first")
    return chosen


def check_input(url: str) -> str:
    """Check an input; return its path or URL in FFmpeg's form.

    Raises:
        SourceError: it is a file, and one that cannot be read.
    """
    path = url.removeprefix("file://")
    if "://" not in path:
        check_file(Path(path))
    return path


def check_file(path: Path) -> None:
    """Check a file before FFmpeg opens it.

    Raises:
        SourceError: it is missing, empty, a folder, or may not be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        siblings: list[str] = []
        with contextlib.suppress(OSError):
            siblings = [entry.name for entry in path.parent.iterdir()]
        raise SourceError(f"{path} does not exist", hint=did_you_mean(path.name, siblings, 1)) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is a folder", expected="a video or an image")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path} may not be read: permission denied", hint="check who owns it")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes)", expected="a video or an image", hint="record or copy it again")


def image_format(path: str) -> str | None:
    """Return the demuxer of images that FFmpeg would misdetect: animations, names like a sequence's pattern."""
    if is_animated_png(path):
        return "apng"
    by_suffix = {
        ".png": "png_pipe",
        ".jpg": "jpeg_pipe",
        ".jpeg": "jpeg_pipe",
        ".bmp": "bmp_pipe",
        ".webp": "webp_pipe",
    }
    return by_suffix.get(Path(path).suffix.lower()) if "%" in path else None


def translate_open_error(error: Exception, path: str, name: str, timeout_seconds: float) -> SourceError:
    """Translate an error of opening into a message for the user.

    Args:
        error: raised by FFmpeg.
        path: file or URL.
        name: the same for messages, credentials masked.
        timeout_seconds: the timeout that applied.
    """
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return SourceError(
            f"{name} did not answer within {timeout_seconds:g} s", hint="check the address, or raise --timeout"
        )
    if isinstance(error, av.error.HTTPUnauthorizedError):
        scheme = path.partition("://")[0]
        hint = f"write {'another' if '***@' in name else 'the'} login into the address: {scheme}://USER:PASSWORD@HOST"
        return SourceError(f"{name} was refused by its server: {error.strerror}", hint=hint)
    if isinstance(error, (av.error.HTTPError, av.error.HTTPClientError)):
        return SourceError(
            f"{name} was refused by its server: {error.strerror}", hint="check the address and the login"
        )
    if isinstance(error, PermissionError):
        return SourceError(f"{name} may not be read: permission denied", hint="check who owns it")
    if isinstance(error, av.error.ArgumentError) and "://" in path:
        return SourceError(f"{name} is a list of further inputs, or not a video", expected="a video, an image or HLS")
    if isinstance(error, av.error.ArgumentError) and (kind := playlist_kind(path)):
        return SourceError(
            f"{name} is {kind}, which names other files or addresses to open",
            hint="use --allow-playlist-files if you trust it",
        )
    if "://" in path and not isinstance(error, av.error.InvalidDataError):
        unknown_host = _unknown_host_reason(name) if getattr(error, "errno", 0) == errno.EIO else ""
        reason = unknown_host or getattr(error, "strerror", None) or type(error).__name__
        return SourceError(f"{name} cannot be reached: {reason}", hint="check the address and the network")
    if "://" not in path and Path(path).is_file() and _lacks_index(Path(path)):
        return SourceError(
            f"{name} was cut short: its index (the 'moov' box, which is written last) is missing",
            hint="copy or record it again",
        )
    if isinstance(error, av.error.InvalidDataError):
        return SourceError(f"{name} is not a video or image that can be read", expected="a video or an image")
    return SourceError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}")


def _unknown_host_reason(url: str) -> str:
    """Return a reason if the host's name does not resolve.

    FFmpeg does not report that. Empty if it resolves.
    """
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return f"unknown host {host!r}"
    return ""


def _lacks_index(path: Path) -> bool:
    """Return True for an MP4 or QuickTime file without a ``moov`` box."""
    with path.open("rb") as file:
        box_types = [box.type for box in iter_boxes(file)]
    return box_types[:1] == [b"ftyp"] and b"moov" not in box_types
