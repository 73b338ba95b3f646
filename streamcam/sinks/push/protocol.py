"""The protocol of a worker process: its configuration as a line of JSON, then items until the end.

An item begins with a byte for its kind. A frame is a header of fixed size (`_HEADER`) and its planes without
padding; the description of an audio stream, and each of its packets, is a header (`_AUDIO_HEADER`) and its bytes. The
worker answers on its standard error with a line of JSON after its first frame, with one for each warning, and with one
that names the reason if it fails.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from typing import TypeAlias

import numpy as np
from av.video.frame import VideoFrame

from ...frames import AudioPacket
from ...job import options_from_dict, options_to_dict
from ...media.color import color_tags
from ...media.planes import plane_arrays
from ...options import OutputOptions

TIME_BASE = Fraction(1, 90_000)
EXIT_FAILED, EXIT_LOST, EXIT_BUSY = 1, 2, 3
"""Exit codes: a failure for good; a lost peer; a shortage that may pass, such as one of file descriptors."""

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS)
"""Errors of the system that may pass."""

Item: TypeAlias = tuple[VideoFrame, int] | AudioPacket
"""A frame with its pts, or an audio packet."""

_FRAME, _AUDIO_STREAM, _AUDIO_PACKET = b"FSA"
_HEADER = struct.Struct("<BqII?4B")  # kind, pts, width, height, whether 10 bit; range, primaries, transfer, matrix
_AUDIO_HEADER = struct.Struct("<BqII")  # kind, pts, duration, number of bytes
_MAX_BUFFERS = 64  # buffers per call; the system takes 1024


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The configuration of a worker process.

    Attributes:
        options: destination, codec and limits.
        fps: nominal frames a second.
    """

    options: OutputOptions
    fps: Fraction

    def to_json_line(self) -> bytes:
        """Return the configuration as the worker receives it."""
        return json.dumps(options_to_dict(self)).encode() + b"\n"

    @classmethod
    def from_json_line(cls, line: bytes) -> WorkerConfig:
        """Build the configuration that `to_json_line` described."""
        return options_from_dict(cls, json.loads(line))


def plane_bytes(frame: VideoFrame) -> list[memoryview]:
    """Return the bytes of each plane without padding; views of the frame if it has none."""
    return [np.ascontiguousarray(plane).data.cast("B") for plane in plane_arrays(frame)]


def pack_frame(frame: VideoFrame, pts: int) -> list[memoryview]:
    """Return a frame in the worker's format, as views of its planes."""
    color = color_tags(frame)
    header = _HEADER.pack(
        _FRAME,
        pts,
        frame.width,
        frame.height,
        frame.format.name != "yuv420p",
        color.range,
        color.primaries,
        color.transfer,
        color.matrix,
    )
    return [memoryview(header), *plane_bytes(frame)]


def pack_audio(packet: AudioPacket) -> list[memoryview]:
    """Return a packet in the worker's format; one without data as the description of its stream."""
    kind, data = (_AUDIO_PACKET, packet.data) if packet.data else (_AUDIO_STREAM, packet.header)
    return [memoryview(_AUDIO_HEADER.pack(kind, packet.pts, packet.duration, len(data))), memoryview(data)]


def write_available(descriptor: int, views: list[memoryview]) -> list[memoryview]:
    """Write as much as the pipe takes and return the rest.

    Raises:
        OSError: the worker has closed its end.
    """
    count = os.writev(descriptor, views[:_MAX_BUFFERS])
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []


def read_items(file: BufferedReader) -> Iterator[Item]:
    """Yield frames with their PTS, and audio packets, as they arrive.

    Stops at the end, also within a frame.
    """
    audio_stream = b""
    while kind := file.peek(1)[:1]:
        if kind[0] == _FRAME:
            frame = _read_frame(file)
            if frame is None:
                return
            yield frame
        else:
            packet = _read_audio(file, audio_stream)
            if packet is None:
                return
            audio_stream = packet.header
            yield packet


def _read_audio(file: BufferedReader, audio_stream: bytes) -> AudioPacket | None:
    header = file.read(_AUDIO_HEADER.size)
    if len(header) < _AUDIO_HEADER.size:
        return None
    kind, pts, duration, size = _AUDIO_HEADER.unpack(header)
    data = file.read(size)
    if len(data) < size:
        return None
    return AudioPacket(data, b"", 0, 0) if kind == _AUDIO_STREAM else AudioPacket(audio_stream, data, pts, duration)


def _read_frame(file: BufferedReader) -> tuple[VideoFrame, int] | None:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    _, pts, width, height, is_10bit, *color_codes = _HEADER.unpack(header)
    frame = VideoFrame(width, height, "yuv420p10le" if is_10bit else "yuv420p")
    for plane in plane_arrays(frame):
        rows = plane if plane.flags.c_contiguous else np.empty_like(plane)
        if file.readinto(rows.data.cast("B")) < rows.nbytes:
            return None
        if rows is not plane:
            plane[:] = rows
    frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace = color_codes
    return frame, pts
