"""What is said to an outlet's process: what it is to write, as a line of JSON, then pictures until the end.

A picture is a head of fixed size (`_HEAD`) and its planes without padding. The process answers on its standard error
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

from ...config import OutletOptions
from ...frames import Colour, planes_of

TIME_BASE = Fraction(1, 90_000)
FAILED, LOST = 1, 2
"""Exit codes: nothing is gained by another try; there may be."""

_HEAD = struct.Struct("<qII?4B")  # pts, width, height, whether 10 bit; range, primaries, transfer, matrix
_TOGETHER = 64  # buffers in one call; the system takes 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to write.

    Attributes:
        options: where to and how.
        rate: frames a second, as far as is known.
    """

    options: OutletOptions
    rate: Fraction

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps({"options": asdict(self.options), "rate": str(self.rate)}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        """As it is received."""
        given = json.loads(line)
        return cls(OutletOptions(**given["options"]), Fraction(given["rate"]))


def colour_of(picture: VideoFrame) -> Colour:
    """A picture's tags."""
    return Colour(
        int(picture.color_range), int(picture.color_primaries), int(picture.color_trc), int(picture.colorspace)
    )


def planes_sent(picture: VideoFrame) -> list[memoryview]:
    """The bytes of a picture's planes one after another, without padding; those of the picture where it has none."""
    return [np.ascontiguousarray(plane).data.cast("B") for plane in planes_of(picture)]


def packed(picture: VideoFrame, pts: int) -> list[memoryview]:
    """A picture as it is sent; refers to it."""
    colour = colour_of(picture)
    head = _HEAD.pack(
        pts,
        picture.width,
        picture.height,
        picture.format.name != "yuv420p",
        colour.range,
        colour.primaries,
        colour.transfer,
        colour.matrix,
    )
    return [memoryview(head), *planes_sent(picture)]


def write_some(descriptor: int, views: list[memoryview]) -> list[memoryview]:
    """Writes as much as there is room for; returns the rest.

    Raises:
        OSError: nobody reads any more.
    """
    count = os.writev(descriptor, views[:_TOGETHER])
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []


def pictures(file: BufferedReader) -> Iterator[tuple[VideoFrame, int]]:
    """Pictures and their times as they come in; ends where they do, be it in the middle of one."""
    head = bytearray(_HEAD.size)
    while file.readinto(head) == len(head):
        pts, width, height, deep, *colour = _HEAD.unpack(head)
        picture = VideoFrame(width, height, "yuv420p10le" if deep else "yuv420p")
        for plane in planes_of(picture):
            line = plane if plane.flags.c_contiguous else np.empty_like(plane)
            if file.readinto(line.data.cast("B")) < line.nbytes:
                return
            if line is not plane:
                plane[:] = line
        picture.color_range, picture.color_primaries, picture.color_trc, picture.colorspace = colour
        yield picture, pts
