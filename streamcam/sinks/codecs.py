"""Which codec goes into which container, and how its encoder is told quality and speed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ..config import Codec, SinkOptions
from ..errors import OptionError, SinkError, nearest

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip


def _x264(crf: int, preset: str) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset}


def _x265(crf: int, preset: str) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset, "x265-params": "log-level=none"}


def _svt_av1(crf: int, preset: str) -> dict[str, str]:
    # The library prints its configuration to stderr unless told otherwise before it is first used.
    os.environ.setdefault("SVT_LOG", "1")
    return {"crf": str(crf), "preset": preset}


def _vpx(crf: int, preset: str) -> dict[str, str]:
    deadline = "good" if int(preset) <= 5 else "realtime"
    return {"crf": str(crf), "b": "0", "deadline": deadline, "cpu-used": preset, "row-mt": "1"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder and what it may be told.

    Attributes:
        name: FFmpeg's name of it.
        crf: constant quality used by default.
        largest_crf: the worst quality it knows; 0 for a lossless one, which has no choice of quality.
        presets: speeds it knows; none where there is no choice.
        preset: the one used by default: real time at 720p on two cores, or as near as the codec comes.
        options: ``(crf, preset)`` -> its options.
        even: it takes pictures with even sides only.
        deep: pictures of 10 bit are given to it as such; without, players in browsers would fail.
        tag: its name inside MP4, where FFmpeg's choice does not play everywhere.
    """

    name: str
    crf: int = 0
    largest_crf: int = 0
    presets: tuple[str, ...] = ()
    preset: str = ""
    options: Callable[[int, str], dict[str, str]] = lambda crf, preset: {}
    even: bool = False
    deep: bool = True
    tag: str | None = None


ENCODERS: dict[Codec, Encoder] = {
    "h264": Encoder("libx264", 20, 51, _X26X_PRESETS, "veryfast", _x264, even=True, deep=False),
    "hevc": Encoder("libx265", 24, 51, _X26X_PRESETS, "superfast", _x265, even=True, tag="hvc1"),
    "av1": Encoder("libsvtav1", 32, 63, tuple(map(str, range(14))), "10", _svt_av1, even=True),
    "vp9": Encoder("libvpx-vp9", 32, 63, tuple(map(str, range(9))), "6", _vpx),
    "ffv1": Encoder("ffv1"),
}

CONTAINERS: dict[str, tuple[Codec, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".webm": ("vp9", "av1"),
}
"""Suffix -> codecs it may hold, the usual one first."""


def choose_encoder(options: SinkOptions) -> tuple[Codec, Encoder, dict[str, str]]:
    """The codec, its encoder and the encoder's options.

    Raises:
        SinkError: the codec does not go into the container.
        OptionError: a quality or speed the encoder does not have.
    """
    suffix = options.path.suffix.lower()
    fitting = CONTAINERS[suffix]
    codec = options.codec or fitting[0]
    if codec not in fitting:
        into = [other for other, codecs in CONTAINERS.items() if codec in codecs]
        raise SinkError(
            f"{codec} does not go into {suffix}",
            wanted=f"one of {', '.join(fitting)}",
            do=f"or use {' or '.join(into)}",
        )
    encoder = ENCODERS[codec]
    return codec, encoder, encoder.options(_crf(options, codec, encoder), _preset(options, codec, encoder))


def _crf(options: SinkOptions, codec: Codec, encoder: Encoder) -> int:
    if options.crf is None:
        return encoder.crf
    if not encoder.largest_crf:
        raise OptionError(f"--crf {options.crf} cannot be used with {codec}, which is lossless", do="leave --crf out")
    if options.crf > encoder.largest_crf:
        raise OptionError(f"--crf {options.crf} is out of range for {codec}", wanted=f"0 to {encoder.largest_crf}")
    return options.crf


def _preset(options: SinkOptions, codec: Codec, encoder: Encoder) -> str:
    if options.preset is None:
        return encoder.preset
    if not encoder.presets:
        raise OptionError(f"--preset {options.preset!r} cannot be used with {codec}, which has none", do="leave it out")
    if options.preset not in encoder.presets:
        raise OptionError(
            f"--preset {options.preset!r} is not known to {codec}",
            wanted=f"one of {', '.join(encoder.presets)}",
            do=nearest(options.preset, encoder.presets, 1),
        )
    return options.preset
