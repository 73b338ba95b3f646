"""Presentation times that the container of a video file can hold."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SinkError

if TYPE_CHECKING:
    from av.packet import Packet

_HALF = Fraction(1, 2)
MAX_FRAME_TICKS = 2**31 - 1
"""Longest time from one frame, or packet, to the next in an MP4; FFmpeg would end the process."""


class FrameGapError(ValueError):
    """Frames are too far apart for the container."""


class PtsRounder:
    """Keeps the pts of frames apart in a container of coarse ticks.

    Matroska counts milliseconds, and frames of a burst (after a stall of the camera or the network) are closer. Times
    before 0 are moved to 0 with all others: players omit such frames.

    Args:
        path: of the file, for messages.
        time_base: of the pts.

    Attributes:
        shift_seconds: seconds that all streams are moved later.
    """

    def __init__(self, path: Path, time_base: Fraction) -> None:
        self._path, self._time_base = path, time_base
        self._muxer_tick: Fraction | None = None
        self._max_frame_ticks: int | None = None
        self._last_pts: int | None = None
        self._shift_ticks = 0
        self.shift_seconds = Fraction(0)

    def start(self, first_pts: int) -> None:
        """Choose the shift, from the pts of the first frame."""
        self._shift_ticks = max(0, -first_pts)
        self.shift_seconds = self._shift_ticks * self._time_base

    def set_muxer(self, muxer_time_base: Fraction, *, fragmented: bool) -> None:
        """Set the container's time base, known once its header is written.

        Args:
            muxer_time_base: seconds of a tick.
            fragmented: MP4 or QuickTime, which limit the duration of a frame.
        """
        muxer_tick = muxer_time_base / self._time_base
        self._muxer_tick = muxer_tick if muxer_tick > 1 else None
        self._max_frame_ticks = floor(MAX_FRAME_TICKS * muxer_tick) if fragmented else None

    def __call__(self, pts: int) -> int:
        """Return the frame's pts, shifted, and moved later if ticks would collide.

        They collide if the file would round both to the same tick.

        Raises:
            SinkError: the frame before lasts longer than the file can store.
        """
        pts += self._shift_ticks
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

    def check_reordering(self, packet: Packet[Any]) -> None:
        """Refuse a packet that is shown too long after it is decoded.

        Raises:
            FrameGapError: an MP4 cannot store the time between.
        """
        if self._max_frame_ticks is None or packet.pts is None or packet.dts is None:
            return
        if packet.pts - packet.dts > self._max_frame_ticks:
            hours = float((packet.pts - packet.dts) * self._time_base) / 3600
            raise FrameGapError(f"its frames are too far apart to be reordered ({hours:.1f} hours)")


def set_decoding_times(packets: Sequence[Packet[Any]]) -> None:
    """Set decoding times that an encoder left unset; packets are in order."""
    for packet in packets:
        packet.dts = packet.pts


def extend_last_packet(packets: Sequence[Packet[Any]], end_pts: int, delay_ticks: int | None) -> None:
    """Extend an MP4's last packet until the end of the last frame.

    FFmpeg ends an MP4 where its last fragment ends. That fragment may hold an earlier frame alone, which is decoded
    last, and players would skip later frames. For the length of the track FFmpeg counts decoding times, the last of
    which may lie long before the last frame.

    Args:
        packets: the encoder's last packets.
        end_pts: end of the last frame.
        delay_ticks: pts less dts of the first packet; None if it is among ``packets``.
    """
    last = packets[-1] if packets else None
    if last is None or last.pts is None or last.dts is None:
        return
    if delay_ticks is None:
        delay_ticks = (packets[0].pts or 0) - (packets[0].dts or 0)
    last.duration = max(last.duration or 0, end_pts - last.pts, end_pts - last.dts - delay_ticks)
