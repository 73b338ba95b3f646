"""Drop frames evenly, for machines with too many cameras."""

from __future__ import annotations

KEYFRAMES_ONLY_FPS = 2.0
"""Below so many frames a second, decoding every frame costs more than it shows: only keyframes are decoded."""

_ROUNDING_SECONDS = 1e-3


class FrameThinner:
    """Keeps at most so many frames a second, evenly spaced."""

    def __init__(self) -> None:
        self._due_seconds: float | None = None

    def keeps(self, seconds: float, max_fps: float | None) -> bool:
        """Return whether to keep the frame at ``seconds``.

        Args:
            seconds: time of the frame.
            max_fps: most frames to keep a second; None for all.
        """
        if max_fps is None:
            self._due_seconds = None
            return True
        period_seconds = 1 / max_fps
        if self._due_seconds is None or abs(seconds - self._due_seconds) > 2 * period_seconds:
            self._due_seconds = seconds
        if seconds < self._due_seconds - _ROUNDING_SECONDS:
            return False
        self._due_seconds += period_seconds
        return True
