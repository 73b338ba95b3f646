"""Where pictures go.

A sink is opened by `open_sink`, which looks at the suffix of the output; importing this package loads no
media library. To add one, write a class that fulfils `Sink` and enter it in `SINKS`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

from ..errors import SinkError
from ..frames import SourceInfo
from ..options import Codec, SinkOptions

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

SINKS: dict[str, str] = {
    ".mp4": "streamcam.sinks.video:VideoSink",
    ".mov": "streamcam.sinks.video:VideoSink",
    ".mkv": "streamcam.sinks.video:VideoSink",
    ".webm": "streamcam.sinks.video:VideoSink",
    ".png": "streamcam.sinks.image_file:ImageSink",
    ".jpg": "streamcam.sinks.image_file:PictureSink",
    ".jpeg": "streamcam.sinks.image_file:PictureSink",
}
"""Suffix of the output -> ``module:class``."""


@runtime_checkable
class Sink(Protocol):
    """Takes pictures in order and leaves a file that plays.

    It is a context manager. However the block is left, what was written is completed into a playable
    file; when nothing was written there is no file, and one that was to be overwritten is untouched.
    Not safe to use from two threads at once.

    Attributes:
        path: the output.
        encoder: FFmpeg's name of what encodes.
        num_frames: pictures written so far.
        notes: one-line announcements for the user; complete once the sink is closed.
    """

    path: Path
    encoder: str
    num_frames: int
    notes: list[str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the file.

        Raises:
            SinkError: that failed, and no other error is on its way already.
        """
        ...

    def write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = ()) -> None:
        """Writes one picture, and packets of copied streams that were read before it.

        Args:
            frame: in a drawable format, all of the same size. The sink sets its time.
            pts: in the source's time base, greater than the one before.
            packets: of the streams in ``info.copied``.

        Raises:
            SinkError: the disk is full, or the codec cannot take such a picture.
        """
        ...

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Writes packets of copied streams that come after the last picture.

        Raises:
            SinkError: the disk is full.
        """
        ...


def open_sink(options: SinkOptions, info: SourceInfo) -> Sink:
    """Checks all that can be checked before the first picture; creates nothing yet.

    Args:
        options: where to, and how it is encoded.
        info: what the pictures come from.

    Raises:
        SinkError: unknown suffix, existing output, the input itself, a folder that is missing or cannot
            be written to, a codec that does not fit the container or the picture.
        OptionError: ``--crf`` or ``--preset`` that the codec does not have.
    """
    path = options.path
    target = SINKS.get(path.suffix.lower())
    if target is None:
        raise SinkError(
            f"{path} has the suffix {path.suffix!r}"
            if path.suffix
            else f"{path} has no suffix to choose the format by",
            expected=f"one of {', '.join(SINKS)}",
        )
    check_output_path(path, overwrite=options.overwrite, inputs=[info.name])
    module, _, name = target.partition(":")
    return cast(Sink, getattr(import_module(module), name)(options, info))


def check_not_input(path: Path, inputs: Iterable[str], option: str) -> None:
    """Whether a file is none of those that are read, under whatever name.

    Args:
        path: of the file.
        inputs: what is read meanwhile, files and others.
        option: by which the file was named.

    Raises:
        SinkError: it is one of them.
    """
    for input_name in inputs:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(input_name, path):
                raise SinkError(f"{path} is the input itself", hint=f"choose another name with {option}")


def check_output_path(path: Path, *, overwrite: bool, option: str = "-o", inputs: Iterable[str] = ()) -> None:
    """Whether a file can be created, and is none of the inputs.

    Raises:
        SinkError: it is an input, a folder, exists already, or its folder is missing or cannot be written to.
    """
    check_not_input(path, inputs, option)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}", hint=f"choose another name with {option}"
        ) from error
    if path.is_dir():
        raise SinkError(f"{path} is a folder", expected="a file name")
    if path.exists() and not overwrite:
        raise SinkError(
            f"{path} exists already", hint=f"use --overwrite to replace it, or choose another name with {option}"
        )
    check_directory(path.parent, option)


def check_directory(directory: Path, option: str) -> None:
    """Whether files can be created in a folder.

    Raises:
        SinkError: it is missing, or cannot be written to.
    """
    if not directory.is_dir():
        raise SinkError(f"the folder {directory} does not exist", hint="create it first")
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise SinkError(
            f"the folder {directory} cannot be written to: {error.strerror}", hint=f"choose another one with {option}"
        ) from error


def default_suffix(codec: Codec | None) -> str:
    """The suffix of the first container that a codec goes into; ``.mp4`` where none is asked for."""
    from .codecs import CONTAINERS

    return next(suffix for suffix, codecs in CONTAINERS.items() if codec is None or codec in codecs)


def report_environment() -> dict[str, str | list[str]]:
    """Versions and codecs, for ``streamcam doctor``."""
    import av

    from .codecs import ENCODERS, NVENC_ENCODERS, nvenc_unavailable_reason

    reason = nvenc_unavailable_reason(NVENC_ENCODERS["h264"])
    return {
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "codecs": [codec for codec, encoder in ENCODERS.items() if encoder.name in av.codecs_available],
        "outputs": list(SINKS),
        "encoding on a card": f"no: {reason}" if reason else [encoder.name for encoder in NVENC_ENCODERS.values()],
    }
