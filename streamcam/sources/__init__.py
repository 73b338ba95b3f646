"""Where frames come from.

A source is opened by `open_source`, which looks at the scheme of the URL (a plain path has none) and
imports the module that reads it; importing this package loads no media library.

To add a source, write a class of ``(options, *, stay)`` that fulfils `Source` and enter it in `SOURCES`.

A camera, which may be lost and come back, is a `Camera` made by `open_camera`. To add a kind of camera, write a
function that says how it is opened and enter it in `CAMERAS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

from ..errors import SourceError, did_you_mean
from ..frames import Frame, SourceInfo
from ..options import CameraOptions, SourceOptions
from .image_headers import is_animated_webp

if TYPE_CHECKING:
    from av.packet import Packet

    from .cameras.camera import Camera
    from .cameras.camera_urls import CameraEndpoint

SOURCES: dict[str, str] = {
    "file": "streamcam.sources.files.file:FileSource",
    "http": "streamcam.sources.files.file:FileSource",
    "https": "streamcam.sources.files.file:FileSource",
    "webp": "streamcam.sources.files.webp:WebpSource",
}
"""Scheme of the URL, or kind of file that needs a reader of its own -> ``module:class``."""

CAMERAS: dict[str, str] = {
    "rtsp": "streamcam.sources.cameras.camera_urls:rtsp",
    "rtsps": "streamcam.sources.cameras.camera_urls:rtsp",
    "http": "streamcam.sources.cameras.camera_urls:http",
    "https": "streamcam.sources.cameras.camera_urls:http",
    "rtmp": "streamcam.sources.cameras.camera_urls:rtmp",
    "webcam": "streamcam.sources.cameras.camera_urls:webcam",
    "lavfi": "streamcam.sources.cameras.camera_urls:lavfi",
    "file": "streamcam.sources.cameras.camera_urls:file",
    "-": "streamcam.sources.cameras.camera_urls:standard_input",
}
"""Kind of camera, mostly the scheme of its URL -> ``module:function`` of `CameraOptions` that tells its `Address`."""


@runtime_checkable
class Source(Protocol):
    """Upright frames in order, readable once.

    It is a context manager. Iteration may run in another thread than the one that opens and closes it;
    closing while a read is under way ends the iteration instead of crashing. Nothing else is safe to
    call from two threads.

    Attributes:
        info: what is known of the source, from opening on.
        decoder: what decodes it, and where, for the user.
        skipped: frames that could not be decoded and were left out, so far.
        notes: one-line announcements for the user; complete once the iteration has ended.
        trailing_packets: packets of copied streams that came after the last frame; valid once the iteration ended.
    """

    info: SourceInfo
    decoder: str
    skipped: int
    notes: list[str]
    tail: tuple[Packet[Any], ...]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yields frames without ``pixels``.

        Raises:
            SourceError: a network peer went away or stayed silent for longer than the timeout.
        """
        ...


def open_source(options: SourceOptions, *, keep_on_gpu: bool = False) -> Source:
    """Opens what ``options.url`` names and decodes its first frame.

    Args:
        options: path or URL, and the part of it that is wanted.
        keep_on_gpu: frames that a card decodes may stay there, where they need nothing but to be shown; `SourceInfo.on_card`
            tells whether they do.

    Raises:
        SourceError: it is missing, unreachable, empty, not a video, or none of it can be decoded.
    """
    scheme, separator, _ = options.url.partition("://")
    scheme = scheme.lower() if separator else "file"
    if scheme not in SOURCES:
        raise SourceError(
            f"{scheme}:// is not a kind of source",
            expected="a file, or a URL that begins with http:// or https://",
            hint=did_you_mean(scheme, SOURCES),
        )
    if scheme == "file" and is_animated_webp(options.url.removeprefix("file://")):
        scheme = "webp"
    module, _, name = SOURCES[scheme].partition(":")
    return cast(Source, getattr(import_module(module), name)(options, keep_on_gpu=keep_on_gpu))


def open_camera(
    options: CameraOptions,
    log: Callable[[str], None] = lambda line: None,
    *,
    wait_until_ready: Callable[[SourceInfo], None] = lambda info: None,
) -> Camera:
    """A camera, which is opened when it is iterated over.

    Args:
        options: what to open, and how long to try.
        log: told in one line when it is lost and when it is back.
        wait_until_ready: returns when somebody is ready for such pictures; only a file waits for that.

    Raises:
        SourceError: there is no such kind of camera, or no such file.
    """
    from .cameras.camera import Camera

    return Camera(options, log, wait_until_ready=wait_until_ready)


def camera_endpoint(options: CameraOptions) -> CameraEndpoint:
    """How a camera is opened.

    Raises:
        SourceError: there is no such kind of camera, or no such file.
    """
    url = options.url
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower() if separator else "file"
    if url == "-" or url.startswith("lavfi:"):
        scheme = url.partition(":")[0]
    elif url == "webcam" or url.startswith(("webcam:", "/dev/video")):
        scheme = "webcam"
    if scheme not in CAMERAS:
        raise SourceError(
            f"{scheme}:// is not a kind of camera",
            expected="rtsp://, rtsps://, http://, https://, rtmp://, webcam, lavfi:GRAPH, a file or -",
            hint=did_you_mean(scheme, CAMERAS),
        )
    module, _, name = CAMERAS[scheme].partition(":")
    return cast("CameraEndpoint", getattr(import_module(module), name)(options))


def report_environment() -> dict[str, str | list[str]]:
    """What can decode, and which cameras are plugged in, for ``streamcam doctor``."""
    from .cameras.webcams import list_webcams
    from .container import nvdec_unavailable_reason

    reason = nvdec_unavailable_reason()
    cameras = [str(device) for device in list_webcams()]
    return {"decoding on a card": f"no: {reason}" if reason else "nvdec", "cameras": cameras or "none found"}
