"""Keyword arguments of `streamcam.process`, which are also the options of the commands; one line an option.

Types repeat those of the fields in `streamcam.options`, for editors and type checkers; a test keeps them equal.
Default, help text, choices and range stand at the field alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, TypedDict

from .options import (
    CaptionPosition,
    Codec,
    Colormap,
    Decoder,
    Encoder,
    FileScale,
    Fit,
    Interpolation,
    Layout,
    Precision,
)

__all__ = [
    "DrawKeywords",
    "EncodingKeywords",
    "ExplainKeywords",
    "FramesKeywords",
    "JobKeywords",
    "ModelKeywords",
    "RenderKeywords",
    "SinkKeywords",
    "SourceKeywords",
    "TemporalKeywords",
]


class ModelKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.ModelOptions`."""

    model: Any
    preprocess: Any
    labels: Any
    fit: Literal["auto"] | Fit
    image_input: str
    extra_input: Mapping[str, Any]
    trust_model: bool


class ExplainKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.ExplainOptions`; a single target needs no tuple."""

    method: Any
    layer: str
    target: Any
    params: Mapping[str, Any]
    batch: int
    precision: Precision
    device: str


class TemporalKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.TemporalOptions`."""

    every: int | Literal["auto"]
    change_threshold: float
    interpolation: Interpolation
    scale: FileScale


class DrawKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.DrawOptions`."""

    layout: Layout
    colormap: Colormap
    alpha: float
    caption: bool
    caption_position: CaptionPosition
    caption_size: float | None
    caption_fields: str
    top_k: int
    legend: bool
    size: str | None


class SourceKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.SourceOptions`."""

    start: Fraction | float | None
    end: Fraction | float | None
    timeout_seconds: float
    decoder: Decoder
    max_pixels: int
    allow_playlist_files: bool


class EncodingKeywords(TypedDict, total=False):
    """Keywords of `streamcam.options.SinkOptions`, without the record."""

    codec: Codec | None
    crf: int | None
    preset: str | None
    overwrite: bool
    encoder: Encoder
    encoders: int | Literal["auto"]


class SinkKeywords(EncodingKeywords, total=False):
    """Keywords of `streamcam.options.SinkOptions`."""

    record: str | bool | None
    resume: bool


class RenderKeywords(DrawKeywords, EncodingKeywords, total=False):
    """Keywords of `streamcam.render`; a single target needs no tuple."""

    source: str | None
    target: Any
    interpolation: Interpolation
    scale: FileScale
    max_pixels: int
    allow_playlist_files: bool


class FramesKeywords(ModelKeywords, ExplainKeywords, TemporalKeywords, SourceKeywords, total=False):
    """Keywords of `streamcam.frames`."""


class JobKeywords(
    ModelKeywords, ExplainKeywords, TemporalKeywords, DrawKeywords, SourceKeywords, SinkKeywords, total=False
):
    """Keywords of `streamcam.process` and options of ``streamcam process``."""
