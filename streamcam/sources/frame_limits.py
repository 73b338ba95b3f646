"""Limits on the size of frames and the memory of decoders."""

from __future__ import annotations

import errno
import io
import os
import warnings
from typing import TYPE_CHECKING, Any

from av.codec.context import ThreadType
from PIL import Image

from ..errors import SourceError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

    from ..geometry import Size

_MAX_THREAD_FRAME_BYTES = 512 << 20
"""Bytes of all frames that the decoder's threads work on at once."""

_LARGE_FRAME_BYTES = 64 << 20
"""Larger frames are decoded one at a time."""

_MIN_PADDING_PIXELS = 1 << 20

_REFUSAL_ERRORS = (errno.EINVAL, errno.ERANGE)
"""Error numbers of decoders that refuse a size."""

_DEFAULT_BITS_PER_PIXEL = 32
_IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM")


def limit_options(max_pixels: int) -> dict[str, str]:
    """Return the option that makes FFmpeg refuse larger frames.

    They are refused before they are allocated. FFmpeg counts pixels that pad rows and blocks; `exceeds` is exact.
    """
    return {"max_pixels": str(min(max_pixels + max_pixels // 8 + _MIN_PADDING_PIXELS, 2**31 - 1))}


def exceeds(size: Size, max_pixels: int) -> bool:
    """Return True for a size of more pixels than allowed."""
    return size[0] * size[1] > max_pixels


def check_frame_size(name: str, size: Size, max_pixels: int, *, refused: bool = False) -> None:
    """Check the size of a source's frames.

    Args:
        name: of the source.
        size: of a frame; ``(0, 0)`` if unknown.
        max_pixels: the limit.
        refused: True if the decoder refused the size.

    Raises:
        SourceError: they are larger than allowed.
    """
    if refused or exceeds(size, max_pixels):
        raise frame_size_error(name, size, max_pixels)


def frame_size_error(name: str, size: Size, max_pixels: int) -> SourceError:
    """Return the error of a source with too large frames.

    Args:
        name: of the source.
        size: of a frame; ``(0, 0)`` if unknown.
        max_pixels: the limit.
    """
    problem = f"{name} has frames of {size[0]}x{size[1]}" if any(size) else f"{name} has frames that are too large"
    return SourceError(
        problem, expected=f"at most {max_pixels} pixels a frame", hint="raise --max-pixels if you trust the source"
    )


def limit_decoder(context: VideoCodecContext, max_pixels: int) -> Size:
    """Make a decoder refuse larger frames; call it before the first packet.

    Returns:
        Width and height that the container declares. If they are too large, the decoder forgets them: the frames may
        be smaller.
    """
    declared_size = context.width, context.height
    context.options = {**context.options, **limit_options(max_pixels)}
    if exceeds(declared_size, max_pixels):
        context.width = context.height = 0
    return declared_size


def limit_threads(context: VideoCodecContext) -> None:
    """Limit a decoder's threads by the memory of their frames.

    Each thread decodes a frame of its own. Call it before the first packet.
    """
    context.thread_type = ThreadType.AUTO
    bits_per_pixel = context.format.padded_bits_per_pixel if context.format else _DEFAULT_BITS_PER_PIXEL
    frame_bytes = max(1, context.width * context.height * (bits_per_pixel or _DEFAULT_BITS_PER_PIXEL) // 8)
    max_threads = 1 if frame_bytes > _LARGE_FRAME_BYTES else _MAX_THREAD_FRAME_BYTES // frame_bytes
    if max_threads < (os.cpu_count() or 1):
        context.thread_count = max_threads


def refused_size(context: VideoCodecContext, error: Exception, packet: Packet[Any], max_pixels: int) -> Size | None:
    """Return the size of a frame that was refused as too large.

    None if decoding failed for another reason.

    A decoder that refuses a size forgets it or keeps it, depending on its codec.

    Args:
        context: of the decoder.
        error: that it raised.
        packet: the last one with data.
        max_pixels: the limit.

    Returns:
        Width and height, ``(0, 0)`` if they are unknown.
    """
    if context.width:
        size = context.width, context.height
        return size if exceeds(size, max_pixels) else None
    image_size = _image_size(packet)
    if image_size is None:
        return (0, 0) if getattr(error, "errno", None) in _REFUSAL_ERRORS else None
    return image_size if exceeds(image_size, max_pixels) else None


def _image_size(packet: Packet[Any]) -> Size | None:
    """Return the size of an image from its header; None if it is no image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(bytes(packet)), formats=_IMAGE_FORMATS) as image:
                return image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
