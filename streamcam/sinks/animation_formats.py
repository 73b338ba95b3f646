"""How GIF and WebP are encoded, and what times they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from av.filter.context import FilterContext
from av.filter.graph import Graph

from .animation_files import WEBP_MAX_DURATION


@dataclass(frozen=True, slots=True)
class AnimationFormat:
    """How a kind of animation is encoded.

    Attributes:
        name: FFmpeg's name of the muxer.
        encoder: FFmpeg's name of the encoder.
        time_base: of its frames; durations are whole multiples.
        min_ticks: the shortest time that browsers keep.
        max_ticks: the longest time of a frame that the file can hold.
        options: of the encoder.
        muxer_options: of the muxer.
        build_filters: links filters from ``rgb24`` to its pixel format, between the two ends of a graph.
    """

    name: str
    encoder: str
    time_base: Fraction
    min_ticks: int
    max_ticks: int
    options: dict[str, str]
    muxer_options: dict[str, str]
    build_filters: Callable[[Graph, FilterContext, FilterContext], None]


def _to_palette(graph: Graph, source: FilterContext, sink: FilterContext) -> None:
    """Give each frame its own palette: that needs no second pass over the frames."""
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)


def _to_bgra(graph: Graph, source: FilterContext, sink: FilterContext) -> None:
    convert = graph.add("format", "bgra")
    source.link_to(convert)
    convert.link_to(sink)


FORMATS = {
    ".gif": AnimationFormat(
        "gif",
        "gif",
        Fraction(1, 100),
        2,
        2**16 - 1,
        {},
        {"loop": "0"},
        _to_palette,
    ),
    ".webp": AnimationFormat(
        "webp",
        "libwebp_anim",
        Fraction(1, 1000),
        1,
        WEBP_MAX_DURATION,
        {"quality": "80"},
        {"loop": "0"},
        _to_bgra,
    ),
}
"""Suffix of the output -> its format."""
