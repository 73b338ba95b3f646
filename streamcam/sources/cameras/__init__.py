"""Read frames from cameras, and reconnect when they are lost.

To add a kind of camera, write a function that returns its `CameraEndpoint` and enter it in `CAMERAS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from ...errors import SourceError, did_you_mean
from ...options import CameraOptions

if TYPE_CHECKING:
    from .camera_urls import CameraEndpoint

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
"""Kind of camera, usually the scheme of its URL -> ``module:function`` from `CameraOptions` to `CameraEndpoint`."""


def camera_endpoint(options: CameraOptions) -> CameraEndpoint:
    """Return what FFmpeg has to open for a camera.

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
            f"unknown camera {scheme}://",
            expected="rtsp://, rtsps://, http://, https://, rtmp://, webcam, lavfi:GRAPH, a file or -",
            hint=did_you_mean(scheme, CAMERAS),
        )
    module, _, name = CAMERAS[scheme].partition(":")
    return cast("CameraEndpoint", getattr(import_module(module), name)(options))
