"""Sources of frames: files and cameras.

A source is opened by `open_source`, which chooses the module by the scheme of the URL (a plain path has
none); importing this package loads no media library.

To add a source, write a class of ``(options, *, keep_on_gpu)`` that implements `Source` and enter it in `SOURCES`.
One that `streamcam.sources.files.plan` plans also takes ``frame_range``.
`open_camera` makes a `Camera`, which reconnects when it is lost; `streamcam.sources.cameras` lists the kinds of
cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

from ..concurrency.cpu_slots import UNLIMITED, CpuSlot
from ..errors import SourceError, did_you_mean
from ..frames import AudioPacket, Frame, FrameRange, SourceInfo
from ..options import CameraOptions, SourceOptions
from .image_headers import is_animated_webp

if TYPE_CHECKING:
    from av.packet import Packet

    from .cameras.camera import Camera
    from .cameras.thinning import FrameLimit

SOURCES: dict[str, str] = {
    "file": "streamcam.sources.files.file:FileSource",
    "http": "streamcam.sources.files.file:FileSource",
    "https": "streamcam.sources.files.file:FileSource",
    "webp": "streamcam.sources.files.webp:WebpSource",
}
"""Scheme of the URL, or kind of file that needs a reader of its own -> ``module:class``."""


@runtime_checkable
class Source(Protocol):
    """Upright frames in order, readable once.

    It is a context manager. Iteration may run in another thread than the one that opens and closes it; closing during a
    read ends the iteration instead of crashing. No other call is safe from two threads.

    Attributes:
        info: properties of the source, from opening on.
        decoder: name of the decoder and its device, for the user.
        skipped: frames so far that could not be decoded.
        notes: one-line announcements for the user; complete once the iteration has ended.
        trailing_packets: packets of copied streams that came after the last frame; valid once the iteration ended.
    """

    info: SourceInfo
    decoder: str
    skipped: int
    notes: list[str]
    trailing_packets: tuple[Packet[Any], ...]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames without ``model_input``.

        Raises:
            SourceError: a network peer went away or stayed silent for longer than the timeout.
        """
        ...


def open_source(options: SourceOptions, *, keep_on_gpu: bool = False, frame_range: FrameRange | None = None) -> Source:
    """Open a source and decode its first frame.

    Args:
        options: path or URL, and the window of it to read.
        keep_on_gpu: frames that the GPU decodes may stay there, if they need no conversion; `SourceInfo.on_gpu` is True
            if they do.
        frame_range: read only these frames, a chunk of a plan; without packets of copied streams. Its last chunk has no
            end. None reads all.

    Raises:
        SourceError: it is missing, unreachable, empty, not a video, or none of it can be decoded.
    """
    scheme, separator, _ = options.url.partition("://")
    scheme = scheme.lower() if separator else "file"
    if scheme not in SOURCES:
        raise SourceError(
            f"unknown source {scheme}://",
            expected="a file, or a URL that begins with http:// or https://",
            hint=did_you_mean(scheme, SOURCES),
        )
    if scheme == "file" and is_animated_webp(options.url.removeprefix("file://")):
        scheme = "webp"
    module, _, name = SOURCES[scheme].partition(":")
    factory = getattr(import_module(module), name)
    if frame_range is not None:
        return cast(Source, factory(options, keep_on_gpu=keep_on_gpu, frame_range=frame_range))
    return cast(Source, factory(options, keep_on_gpu=keep_on_gpu))


def plan_chunks(options: SourceOptions, *, max_frames: int, every: int = 1) -> tuple[FrameRange, ...] | None:
    """Return the chunks of a source; decode nothing.

    Args:
        options: path, and the window of it to read.
        max_frames: frames of a chunk; the last one may be a quarter longer.
        every: each chunk begins at a multiple of it.

    Returns:
        At least one chunk. None for a source that must be read from its beginning: no file, no keyframes, or times
        that do not number its frames with certainty.
    """
    from .files.plan import plan_file

    return plan_file(options, max_frames=max_frames, every=every)


def open_camera(
    options: CameraOptions,
    *,
    wait_until_ready: Callable[[SourceInfo], None] = lambda info: None,
    on_audio: Callable[[AudioPacket], object] = lambda packet: None,
    frame_limit: Callable[[], FrameLimit] | None = None,
    may_give_up: Callable[[], bool] = lambda: True,
    cpu_slot: CpuSlot = UNLIMITED,
) -> Camera:
    """Return a camera, which opens when it is iterated over.

    Args:
        options: what to open, and how long to try.
        wait_until_ready: returns when the pipeline is ready for such frames; only a recording waits for that.
        on_audio: gets the packets of the camera's audio, if ``options`` ask for them.
        frame_limit: returns how many frames to yield; None for all.
        may_give_up: returns whether a camera that was never reached may be given up under ``reconnect="auto"``.
        cpu_slot: entered while a frame is decoded.

    Raises:
        SourceError: there is no such kind of camera, or no such file.
    """
    from .cameras.camera import Camera
    from .cameras.thinning import NO_LIMIT

    return Camera(
        options,
        wait_until_ready=wait_until_ready,
        on_audio=on_audio,
        frame_limit=frame_limit or (lambda: NO_LIMIT),
        may_give_up=may_give_up,
        cpu_slot=cpu_slot,
    )


def report_environment() -> dict[str, str | list[str]]:
    """Return decoders and connected cameras, for ``streamcam doctor``."""
    from .cameras.webcams import list_webcams
    from .container import nvdec_unavailable_reason

    reason = nvdec_unavailable_reason()
    cameras = [str(device) for device in list_webcams()]
    return {"hw_decode": f"unavailable: {reason}" if reason else "nvdec", "cameras": cameras or "none found"}
