"""The protocol of a worker process: its configuration as a line of JSON, then frames until the end.

A frame is a header of fixed size (`_HEADER`) and its planes without padding. The worker answers on its standard error
with a line of JSON after its first frame, and with one that names the reason if it fails.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader

import numpy as np
from av.video.frame import VideoFrame

from ...job import options_from_dict, options_to_dict
from ...media.color import color_tags
from ...media.planes import plane_arrays
from ...options import OutputOptions

TIME_BASE = Fraction(1, 90_000)
EXIT_FAILED, EXIT_LOST = 1, 2
"""Exit codes: a failure for good; a lost peer, worth another try."""

_HEADER = struct.Struct("<qII?4B")  # pts, width, height, whether 10 bit; range, primaries, transfer, matrix
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


def read_frames(file: BufferedReader) -> Iterator[tuple[VideoFrame, int]]:
    """Yield frames and their PTS as they arrive; stop at the end, also within a frame."""
    header = bytearray(_HEADER.size)
    while file.readinto(header) == len(header):
        pts, width, height, is_10bit, *color_codes = _HEADER.unpack(header)
        frame = VideoFrame(width, height, "yuv420p10le" if is_10bit else "yuv420p")
        for plane in plane_arrays(frame):
            rows = plane if plane.flags.c_contiguous else np.empty_like(plane)
            if file.readinto(rows.data.cast("B")) < rows.nbytes:
                return
            if rows is not plane:
                plane[:] = rows
        frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace = color_codes
        yield frame, pts
