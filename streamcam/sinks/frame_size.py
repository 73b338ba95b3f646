"""Size of encoded frames: limits of players, and of memory."""

from __future__ import annotations

from ..geometry import Size
from ..options import Codec
from .codecs import Encoder

_MAX_LOOKAHEAD_PIXELS = 20 << 20
"""Larger frames, above 4K beside a 4K map, are encoded without looking ahead."""

_MAX_SUBPIXEL_PIXELS = 36 << 20
"""Larger frames, above 8K UHD, are encoded without the planes for motion of half a pixel."""

_WITHOUT_LOOKAHEAD = {
    "libx264": {
        "mbtree": "0",
        "rc-lookahead": "0",
        "bf": "0",
        "refs": "1",
        "x264-params": "sliced-threads=1:sync-lookahead=0",
    },
    "libx265": {"bf": "0", "x265-params": "log-level=none:rc-lookahead=0:frame-threads=1:ref=1"},
    "libvpx-vp9": {"lag-in-frames": "0"},
}
"""Options of encoders that would hold dozens of frames: 7 GB at twice 8K UHD."""

_MAX_H264_BLOCKS, _MAX_H264_SIDE = 36_864, 4096
"""Blocks of 16x16 in a frame of level 5.2, and the longest side that decoders in hardware take."""


def playable_size(codec: Codec, requested_codec: Codec | None, size: Size) -> tuple[Size, list[str]]:
    """Return the size to encode, and a note if it is smaller.

    Common players can show it. Only H.264 by default is limited.

    Args:
        codec: that is used.
        requested_codec: of ``--codec``.
        size: width and height of the frames.
    """
    if codec != "h264" or requested_codec or _fits_h264(size):
        return size, []
    width, height = size
    widths = range(width // 16 * 16, 0, -16)
    candidates = ((one, max(2, round(height * one / width / 2) * 2)) for one in widths)
    smaller = next((one for one in candidates if _fits_h264(one)), size)
    return smaller, [
        f"frames of {width}x{height} are scaled to {smaller[0]}x{smaller[1]}, the limit of most H.264 players; "
        "--codec h264 or hevc keeps the size"
    ]


def _fits_h264(size: Size) -> bool:
    width, height = size
    num_blocks = -(-width // 16) * -(-height // 16)
    return max(size) <= _MAX_H264_SIDE and num_blocks <= _MAX_H264_BLOCKS


def without_lookahead(encoder: Encoder, options: dict[str, str], size: Size) -> dict[str, str]:
    """Return an encoder's options; those of large frames hold fewer of them.

    Args:
        encoder: as from `choose_encoder`.
        options: its options.
        size: ``(width, height)`` of the frames.
    """
    pixels = size[0] * size[1]
    if pixels > _MAX_LOOKAHEAD_PIXELS:
        options = options | _WITHOUT_LOOKAHEAD.get(encoder.name, {})
    if pixels > _MAX_SUBPIXEL_PIXELS and encoder.name == "libx264":
        options = options | {"subq": "0"}
    return options
