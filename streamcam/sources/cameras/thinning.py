"""Drop frames for machines with too many cameras."""

from __future__ import annotations

from dataclasses import dataclass

_ROUNDING_SECONDS = 1e-3
_EVEN_RATIO = 0.5
"""Down to this part of the frames, all are decoded and some are dropped, evenly. Below, decoding is saved too."""
_MAX_GROUP_SECONDS = 3.0
"""Decoding stops before the next keyframe only if that is at most so far away: the video stands still meanwhile."""
_KEYFRAMES_FPS = 2.0
"""Below so many frames a second decoding stops before the next keyframe, however far that is."""
_MAX_STEP_SECONDS = 1.0
_OVERDUE_GROUPS = 4
"""After so many usual groups without a keyframe, none is expected."""


@dataclass(frozen=True, slots=True)
class FrameLimit:
    """How many frames of a camera are wanted.

    Attributes:
        max_fps: at most so many a second; None for all.
        decodes_all: True if those to drop are dropped evenly after decoding; False if decoding is to be saved too.
    """

    max_fps: float | None = None
    decodes_all: bool = True


NO_LIMIT = FrameLimit()


class FrameThinner:
    """Keeps at most so many frames a second of a stream.

    Frames are dropped evenly after decoding. If not even decoding fits the machine, the first frames of each group,
    from keyframe to keyframe, are decoded, as many as are allowed, and the others are not.
    """

    def __init__(self) -> None:
        self._due_seconds: float | None = None
        self._last_seconds = self._key_seconds = 0.0
        self._group_seconds: float | None = None
        self._allowance = 0.0
        self._saves_decoding = self._is_skipping = False

    def decodes(self, seconds: float, *, is_keyframe: bool, limit: FrameLimit, fps: float) -> bool:
        """Return whether to decode a packet.

        Args:
            seconds: time of the packet.
            is_keyframe: True if decoding can begin with it.
            limit: how many frames to keep.
            fps: frames a second of the stream.
        """
        max_fps = limit.max_fps
        step_seconds = min(max(0.0, seconds - self._last_seconds), _MAX_STEP_SECONDS)
        self._last_seconds = seconds
        if is_keyframe:
            if self._key_seconds < seconds:
                self._group_seconds = seconds - self._key_seconds if self._key_seconds else None
            self._key_seconds = seconds
        if self._group_seconds is not None and seconds - self._key_seconds > _OVERDUE_GROUPS * self._group_seconds:
            # No keyframe comes any more, and decoding must not wait for one.
            self._group_seconds, self._is_skipping = None, False
        # Raw frames have no keyframes, and some cameras send a single one.
        self._saves_decoding = (
            max_fps is not None
            and not limit.decodes_all
            and self._group_seconds is not None
            and (
                max_fps < _KEYFRAMES_FPS or (max_fps < _EVEN_RATIO * fps and self._group_seconds <= _MAX_GROUP_SECONDS)
            )
        )
        if self._saves_decoding and max_fps is not None:
            most = max(1.0, max_fps * _MAX_GROUP_SECONDS)
            self._allowance = min(most, self._allowance + max_fps * step_seconds)
            if is_keyframe or not self._is_skipping:
                self._is_skipping = self._allowance < 1 - _ROUNDING_SECONDS
            self._allowance -= not self._is_skipping
        elif is_keyframe:
            self._is_skipping = False
        return not self._is_skipping

    def keeps(self, seconds: float, limit: FrameLimit) -> bool:
        """Return whether to keep a decoded frame.

        Args:
            seconds: time of the frame.
            limit: how many frames to keep.
        """
        if limit.max_fps is None or self._saves_decoding:
            self._due_seconds = None
            return True
        period_seconds = 1 / limit.max_fps
        if self._due_seconds is None or abs(seconds - self._due_seconds) > 2 * period_seconds:
            self._due_seconds = seconds
        if seconds < self._due_seconds - _ROUNDING_SECONDS:
            return False
        self._due_seconds += period_seconds
        return True
