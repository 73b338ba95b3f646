"""The encoders of an output, before it is opened."""

from __future__ import annotations

from fractions import Fraction

from ..frames import SourceInfo
from ..options import SinkOptions
from .codecs import CONTAINERS, choose_encoder
from .encoder_count import choose_encoders, encoders_bytes
from .muxing import gop_size

_DEFAULT_FPS = Fraction(25)


def encoder_demand(options: SinkOptions, info: SourceInfo) -> tuple[int, int]:
    """Return the number of encoders, and their memory beyond one's.

    Args:
        options: of the output.
        info: the source.
    """
    if options.path.suffix.lower() not in CONTAINERS:
        return 1, 0
    _, encoder, _, _ = choose_encoder(options)
    gop = gop_size(info.average_fps or _DEFAULT_FPS)
    count, _ = choose_encoders(options.encoders, encoder, info, gop)
    return count, encoders_bytes(count, gop, info.frame_bytes) if count > 1 else 0
