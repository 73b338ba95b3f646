"""Frames for the outputs while a camera is silent.

Players and servers go on with them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ..compose.placeholder import placeholder_frame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class _Camera(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str: ...


class Filler:
    """Makes the frames for one camera's outputs; callable from several threads.

    Args:
        camera: its state decides: a slow or paused one shows its last frame, a lost one a placeholder.
    """

    def __init__(self, camera: _Camera) -> None:
        self._camera = camera
        self._placeholder: tuple[VideoFrame, VideoFrame] | None = None

    def __call__(self, last: VideoFrame, silent_seconds: float) -> VideoFrame:
        """Return the frame to show.

        Args:
            last: the camera's last frame.
            silent_seconds: seconds since it was shown.
        """
        if self._camera.state not in ("lost", "opening"):
            return last
        cached = self._placeholder
        if cached is None or cached[0] is not last:
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - silent_seconds))
            cached = last, placeholder_frame(last, f"camera {self._camera.name}: no signal since {since}")
            self._placeholder = cached
        return cached[1]
