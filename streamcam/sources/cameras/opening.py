"""Open a camera's input, and find its video."""

from __future__ import annotations

import time
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from ...errors import SourceError
from ..container import choose_video
from .camera_urls import CameraEndpoint
from .silence import MAX_SILENCE_SECONDS


class VideoMissingError(SourceError):
    """A live stream has no video so far."""


def open_input(
    endpoint: CameraEndpoint, timeout_seconds: float, standard_input: Any = None
) -> tuple[InputContainer, VideoStream]:
    """Open an input, and choose its video.

    Streams that announce nothing beforehand are analysed for longer, up to the timeout, if sound comes before video.

    Args:
        endpoint: what to open.
        timeout_seconds: seconds that the peer may take to connect, and to send the first frames.
        standard_input: file to read for an endpoint without a URL.

    Raises:
        VideoMissingError: it is live, and has no video so far.
        SourceError: it cannot be opened, or has no video.
    """
    analyses: list[dict[str, str]] = [{}]
    if endpoint.url and "analyzeduration" in endpoint.options:
        analyses.append({"analyzeduration": str(int(timeout_seconds * 1_000_000)), "probesize": "50000000"})
    while True:
        container = _open(endpoint, endpoint.options | analyses.pop(0), timeout_seconds, standard_input)
        try:
            return container, choose_video(container, endpoint.name)
        except SourceError as error:
            is_live = container.duration is None and not endpoint.is_finite
            container.close()
            if not is_live:
                raise
            if not analyses:
                raise VideoMissingError(str(error)) from None
        except BaseException:
            container.close()
            raise


def _open(
    endpoint: CameraEndpoint, options: dict[str, str], timeout_seconds: float, standard_input: Any
) -> InputContainer:
    start_time = time.monotonic()
    try:
        return av.open(
            endpoint.url or standard_input,
            "r",
            format=endpoint.format,
            options=options,
            # How long reads may take depends on the camera; see `silence`. This is the end for abandoned ones.
            timeout=(timeout_seconds, MAX_SILENCE_SECONDS) if endpoint.url else None,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # FFmpeg calls a mute peer invalid data, or an I/O error, with some protocols.
        timed_out = endpoint.url and time.monotonic() - start_time >= 0.9 * timeout_seconds
        # The chain would show the credentials that the message masks.
        raise endpoint.translate_error(TimeoutError() if timed_out else error) from None
