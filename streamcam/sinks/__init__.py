"""Sinks: files that frames are written to.

A sink is opened by `open_sink`, which chooses by the suffix of the output; importing this package loads no
media library. To add one, write a class that implements `Sink` and enter it in `SINKS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

from ..errors import UnknownFormatError
from ..frames import SourceInfo
from ..options import Codec, SinkOptions
from .paths import check_output_path

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

SINKS: dict[str, str] = {
    ".mp4": "streamcam.sinks.video:VideoSink",
    ".mov": "streamcam.sinks.video:VideoSink",
    ".mkv": "streamcam.sinks.video:VideoSink",
    ".webm": "streamcam.sinks.video:VideoSink",
    ".png": "streamcam.sinks.image_file:ImageSink",
    ".jpg": "streamcam.sinks.image_file:ImageSink",
    ".jpeg": "streamcam.sinks.image_file:ImageSink",
    ".gif": "streamcam.sinks.animation:AnimationSink",
    ".webp": "streamcam.sinks.animation:AnimationSink",
}
"""Suffix of the output -> ``module:class``."""


@runtime_checkable
class Sink(Protocol):
    """Takes frames in order and writes a playable file.

    It is a context manager. If the block is left after frames were written, the file is completed and playable, also on
    an error. Without frames no file is created, and an existing one stays untouched. Not safe to use from two threads
    at once.

    Attributes:
        path: the output.
        encoder: FFmpeg's name of the encoder.
        num_encoders: encoders that work at once.
        num_frames: frames written so far.
        notes: one-line announcements for the user; complete once the sink is closed.
    """

    path: Path
    encoder: str
    num_encoders: int
    num_frames: int
    notes: list[str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file.

        Raises:
            SinkError: the file cannot be completed; not raised if the block raised an error.
        """
        ...

    def write(
        self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = (), *, starts_chunk: bool = False
    ) -> bool:
        """Write one frame, and the copied packets read before it.

        Args:
            frame: in a working format, all of the same size. The sink sets its time. With several encoders it waits in
                the sink: it must not be changed, nor written a second time.
            pts: in the source's time base, greater than the one before.
            packets: of the streams in ``info.passthrough_streams``.
            starts_chunk: it is the first frame of a chunk; a video that is encoded in segments begins a new one.

        Returns:
            True if the file holds the frame; False if the format cannot show frames so close.

        Raises:
            SinkError: the disk is full, or the codec cannot encode such a frame.
        """
        ...

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets of copied streams that come after the last frame.

        Raises:
            SinkError: the disk is full.
        """
        ...


def open_sink(options: SinkOptions, info: SourceInfo) -> Sink:
    """Check the output and return its sink; create no file yet.

    Args:
        options: path, and encoding options.
        info: the source of the frames.

    Raises:
        UnknownFormatError: unknown suffix.
        SinkError: existing output, the input itself, a folder that is missing or cannot
            be written to, a codec that does not fit the container or the frames.
        OptionError: ``--crf`` or ``--preset`` that the codec does not have.
    """
    path = options.path
    target = SINKS.get(path.suffix.lower())
    if target is None:
        raise UnknownFormatError(
            f"{path} has the suffix {path.suffix!r}"
            if path.suffix
            else f"{path} has no suffix to choose the format by",
            expected=f"one of {', '.join(SINKS)}",
        )
    check_output_path(path, overwrite=options.overwrite, inputs=[info.name])
    module, _, name = target.partition(":")
    sink = cast(Sink, getattr(import_module(module), name)(options, info))
    if options.encoders not in ("auto", 1) and target != SINKS[".mp4"]:
        sink.notes.append(f"--encoders {options.encoders}: one encoder writes {path.suffix}")
    return sink


def default_suffix(codec: Codec | None) -> str:
    """Return the suffix of the first container for a codec.

    ``.mp4`` by default.
    """
    from .codecs import CONTAINERS

    return next(suffix for suffix, codecs in CONTAINERS.items() if codec is None or codec in codecs)


def report_environment() -> dict[str, str | list[str]]:
    """Return versions and codecs, for ``streamcam doctor``."""
    import av

    from .codecs import ENCODERS, NVENC_ENCODERS, nvenc_unavailable_reason

    reason = nvenc_unavailable_reason(NVENC_ENCODERS["h264"])
    return {
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "codecs": [codec for codec, encoder in ENCODERS.items() if encoder.name in av.codecs_available],
        "outputs": list(SINKS),
        "hw_encode": f"unavailable: {reason}" if reason else [encoder.name for encoder in NVENC_ENCODERS.values()],
    }
