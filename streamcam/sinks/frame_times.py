"""Presentation times that the container of a video file can hold."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from ..errors import SinkError

_HALF = Fraction(1, 2)
_MAX_FRAME_TICKS = 2**31 - 1


class PtsRounder:
    """Keeps the pts of frames apart in a container of coarse ticks.

    Matroska counts milliseconds, and frames of a burst (after a stall of the camera or the network) are closer.

    Args:
        path: of the file, for messages.
        time_base: of the pts.
    """

    def __init__(self, path: Path, time_base: Fraction) -> None:
        self._path, self._time_base = path, time_base
        self._muxer_tick: Fraction | None = None
        self._max_frame_ticks: int | None = None
        self._last_pts: int | None = None

    def set_muxer(self, muxer_time_base: Fraction, *, fragmented: bool) -> None:
        """Set the container's time base, known once its header is written.

        Args:
            muxer_time_base: seconds of a tick.
            fragmented: MP4 or QuickTime, which limit the duration of a frame.
        """
        muxer_tick = muxer_time_base / self._time_base
        self._muxer_tick = muxer_tick if muxer_tick > 1 else None
        self._max_frame_ticks = floor(_MAX_FRAME_TICKS * muxer_tick) if fragmented else None

    def __call__(self, pts: int) -> int:
        """Return the frame's pts, moved later if ticks would collide.

        They collide if the file would round both to the same tick.

        Raises:
            SinkError: the frame before lasts longer than the file can store.
        """
        self._check_gap(pts)
        if self._last_pts is not None and self._muxer_tick is not None:
            previous_tick = floor(self._last_pts / self._muxer_tick + _HALF)
            if floor(pts / self._muxer_tick + _HALF) <= previous_tick:
                pts = ceil((previous_tick + 1) * self._muxer_tick)
        self._last_pts = pts
        return pts

    def _check_gap(self, pts: int) -> None:
        """Refuse a duration that overflows an MP4's ticks: FFmpeg would end the process."""
        if (
            self._last_pts is not None
            and self._max_frame_ticks is not None
            and pts - self._last_pts > self._max_frame_ticks
        ):
            hours = float((pts - self._last_pts) * self._time_base) / 3600
            raise SinkError(
                f"{self._path} cannot hold a frame that is shown for {hours:.1f} hours",
                hint="choose a name that ends in .mkv",
            )
