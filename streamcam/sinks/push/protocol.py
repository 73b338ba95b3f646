"""What is said to an outlet's process: what it is to write, as a line of JSON, then pictures until the end.

A picture is a head of fixed size (`_HEADER`) and its planes without padding. The process answers on its standard error
with a line of JSON once it has written a first picture, and one that says why where it fails.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from io import BufferedReader

import numpy as np
from av.video.frame import VideoFrame

from ...frames import ColorSpec, plane_arrays
from ...options import OutputOptions

TIME_BASE = Fraction(1, 90_000)
EXIT_FAILED, EXIT_LOST = 1, 2
"""Exit codes: nothing is gained by another try; there may be."""

_HEADER = struct.Struct("<qII?4B")  # pts, width, height, whether 10 bit; range, primaries, transfer, matrix
_MAX_BUFFERS = 64  # buffers in one call; the system takes 1024


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a process is to write.

    Attributes:
        options: where to and how.
        fps: frames a second, as far as is known.
    """

    options: OutputOptions
    fps: Fraction

    def to_json_line(self) -> bytes:
        """As it is sent."""
        return json.dumps({"options": asdict(self.options), "rate": str(self.fps)}).encode() + b"\n"

    @classmethod
    def from_json_line(cls, line: bytes) -> WorkerConfig:
        """As it is received."""
        values = json.loads(line)
        return cls(OutputOptions(**values["options"]), Fraction(values["rate"]))


def color_tags(frame: VideoFrame) -> ColorSpec:
    """A picture's tags."""
    return ColorSpec(int(frame.color_range), int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace))


def plane_bytes(frame: VideoFrame) -> list[memoryview]:
    """The bytes of a picture's planes one after another, without padding; those of the picture where it has none."""
    return [np.ascontiguousarray(plane).data.cast("B") for plane in plane_arrays(frame)]


def pack_frame(frame: VideoFrame, pts: int) -> list[memoryview]:
    """A picture as it is sent; refers to it."""
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
    """Writes as much as there is room for; returns the rest.

    Raises:
        OSError: nobody reads any more.
    """
    count = os.writev(descriptor, views[:_MAX_BUFFERS])
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []


def read_frames(file: BufferedReader) -> Iterator[tuple[VideoFrame, int]]:
    """Pictures and their times as they come in; ends where they do, be it in the middle of one."""
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
