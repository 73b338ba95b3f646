"""The file of an encoded segment: a line of JSON, then the packets."""

from __future__ import annotations

import base64
import hashlib
import json
from fractions import Fraction
from typing import Any

from .segments import EncodedPacket, Segment

_FORMAT = "streamcam-segment 1"


def pack_segment(segment: Segment, facts: dict[str, Any]) -> bytes:
    """Return the file of a segment.

    Args:
        segment: the encoded frames.
        facts: values for JSON that `unpack_segment` returns.
    """
    data = b"".join(packet.data for packet in segment.packets)
    header = {
        "format": _FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "time_base": str(segment.time_base),
        "encoder": segment.encoder,
        "extradata": base64.b64encode(segment.extradata).decode(),
        "frame_size": list(segment.frame_size),
        "reorder_depth": segment.reorder_depth,
        "packets": [[len(one.data), one.pts, one.duration, one.is_keyframe] for one in segment.packets],
        "facts": facts,
    }
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + data


def unpack_segment(file: bytes) -> tuple[Segment, dict[str, Any]]:
    """Return the segment and the facts of a file.

    Raises:
        ValueError, KeyError, TypeError: another format, or damaged.
    """
    line, _, data = file.partition(b"\n")
    header = json.loads(line)
    if header["format"] != _FORMAT or header["sha256"] != hashlib.sha256(data).hexdigest():
        raise ValueError("no segment, or a damaged one")
    packets, at = [], 0
    for size, pts, duration, is_keyframe in header["packets"]:
        packets.append(EncodedPacket(data[at : at + size], pts, duration, is_keyframe))
        at += size
    width, height = header["frame_size"]
    segment = Segment(
        packets=tuple(packets),
        time_base=Fraction(header["time_base"]),
        encoder=header["encoder"],
        extradata=base64.b64decode(header["extradata"]),
        frame_size=(width, height),
        reorder_depth=header["reorder_depth"],
    )
    return segment, header["facts"]
