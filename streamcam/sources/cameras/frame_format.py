"""The properties of a camera's frames, over all its connections."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame

from ...frames import SourceInfo
from ..normalize import FrameNormalizer, rotation_filters
from .connection import Connection


class FrameFormat:
    """Follows the format of a camera's frames, which may change.

    Args:
        name: the camera's source, for people.
        time_base: unit of the frames' time stamps.
    """

    def __init__(self, name: str, time_base: Fraction) -> None:
        self._name, self._time_base = name, time_base
        self._key: tuple[object, ...] | None = None
        self._normalizer: FrameNormalizer | None = None
        self._info: SourceInfo | None = None
        self._codec = ""

    def start_connection(self) -> None:
        """Begin a connection, whose first frame is examined anew."""
        self._key = None

    def update(self, frame: VideoFrame, connection: Connection) -> tuple[SourceInfo, FrameNormalizer]:
        """Return the properties of a frame, and how to normalize it.

        The properties are the same object as before if they have not changed.
        """
        key = _format_key(frame)
        if self._normalizer is None or self._info is None or key != self._key:
            self._key, self._normalizer = key, FrameNormalizer(frame, self._time_base)
            info = self._describe(frame, self._normalizer, connection)
            if self._info is None or (info, connection.codec) != (self._info, self._codec):
                self._info, self._codec = info, connection.codec
        return self._info, self._normalizer

    def _describe(self, frame: VideoFrame, normalizer: FrameNormalizer, connection: Connection) -> SourceInfo:
        aspect = connection.pixel_aspect
        return SourceInfo(
            name=self._name,
            width=normalizer.width,
            height=normalizer.height,
            pixel_format=normalizer.pixel_format,
            time_base=self._time_base,
            color=normalizer.color,
            pixel_aspect=1 / aspect if "transpose" in rotation_filters(frame) else aspect,
            average_fps=connection.average_fps,
            live=True,
        )


def _format_key(frame: VideoFrame) -> tuple[object, ...]:
    """Return all properties of a frame that `FrameNormalizer` depends on."""
    return (
        frame.width,
        frame.height,
        frame.format.name,
        frame.rotation,
        frame.color_range,
        frame.color_primaries,
        frame.color_trc,
        frame.colorspace,
    )
