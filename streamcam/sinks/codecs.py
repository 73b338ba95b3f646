"""Codecs for each container, and encoder options for quality and speed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from ..errors import OptionError, SinkError, did_you_mean
from ..geometry import Size
from ..options import Codec, OutputOptions, SinkOptions

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip


def _x264(crf: int, preset: str) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset}


def _x265(crf: int, preset: str) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset, "x265-params": "log-level=none"}


def _svt_av1(crf: int, preset: str) -> dict[str, str]:
    # The library prints its configuration to stderr unless configured before its first use.
    os.environ.setdefault("SVT_LOG", "1")
    return {"crf": str(crf), "preset": preset}


def _vpx(crf: int, preset: str) -> dict[str, str]:
    deadline = "good" if int(preset) <= 5 else "realtime"
    return {"crf": str(crf), "b": "0", "deadline": deadline, "cpu-used": preset, "row-mt": "1"}


def _nvenc(crf: int, preset: str) -> dict[str, str]:
    return {"rc": "vbr", "cq": str(crf), "b:v": "0", "preset": preset}


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder and its options.

    Attributes:
        name: FFmpeg's name of it.
        default_crf: constant quality used by default.
        max_crf: the lowest quality; 0 for a lossless encoder, which has no quality option.
        presets: available speeds; none if it has no such option.
        default_preset: real time at 720p on two cores, or as near as the codec comes.
        make_options: ``(crf, preset)`` -> its options.
        needs_even_size: requires even sides.
        keeps_10bit: encodes 10-bit sources in 10 bits; False if browsers could not play that.
        pixel_format_10bit: its pixel format for them.
        lookahead_options: preset -> further options if it may delay frames.
        codec_tag: its name inside MP4, if FFmpeg's choice does not play everywhere.
    """

    name: str
    default_crf: int = 0
    max_crf: int = 0
    presets: tuple[str, ...] = ()
    default_preset: str = ""
    make_options: Callable[[int, str], dict[str, str]] = lambda crf, preset: {}
    needs_even_size: bool = False
    keeps_10bit: bool = True
    pixel_format_10bit: str = "yuv420p10le"
    codec_tag: str | None = None
    lookahead_options: dict[str, dict[str, str]] = field(default_factory=dict)


# The preset lacks the macroblock tree, which weighs a block by how long others are predicted from it: files
# are a third to a half smaller with it, and not far from those of `veryfast`, which takes up to twice the time
# (benchmarks/RESULTS.md, "H.264's presets").
_MBTREE = {"superfast": {"mbtree": "1", "rc-lookahead": "10"}}

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

ENCODERS: dict[Codec, Encoder] = {
    "h264": Encoder(
        "libx264",
        20,
        51,
        _X26X_PRESETS,
        "superfast",
        _x264,
        needs_even_size=True,
        keeps_10bit=False,
        lookahead_options=_MBTREE,
    ),
    "hevc": Encoder("libx265", 24, 51, _X26X_PRESETS, "superfast", _x265, needs_even_size=True, codec_tag="hvc1"),
    "av1": Encoder("libsvtav1", 32, 63, tuple(map(str, range(14))), "10", _svt_av1, needs_even_size=True),
    "vp9": Encoder("libvpx-vp9", 32, 63, tuple(map(str, range(9))), "6", _vpx),
    "ffv1": Encoder("ffv1"),
}

_NVENC_PRESETS = tuple(f"p{n}" for n in range(1, 8))

NVENC_ENCODERS: dict[Codec, Encoder] = {
    "h264": Encoder("h264_nvenc", 20, 51, _NVENC_PRESETS, "p4", _nvenc, needs_even_size=True, keeps_10bit=False),
    "hevc": Encoder(
        "hevc_nvenc",
        24,
        51,
        _NVENC_PRESETS,
        "p4",
        _nvenc,
        needs_even_size=True,
        pixel_format_10bit="p010le",
        codec_tag="hvc1",
    ),
    "av1": Encoder(
        "av1_nvenc", 32, 51, _NVENC_PRESETS, "p4", _nvenc, needs_even_size=True, pixel_format_10bit="p010le"
    ),
}
"""The same codecs on an NVIDIA GPU."""

CONTAINERS: dict[str, tuple[Codec, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".webm": ("vp9", "av1"),
}
"""Suffix -> codecs it may hold, the usual one first."""

STREAMS: dict[str, tuple[Codec, ...]] = {
    "rtsp": ("h264", "hevc"),
    "rtmp": ("h264",),
    "HLS": ("h264",),
    "MPEG-TS": ("h264", "hevc"),
}
"""Kind of stream -> codecs that receivers commonly support, the usual one first."""

_LIVE_CRF: dict[Codec, int] = {"h264": 23, "hevc": 26}
_LIVE_BITS_PER_PIXEL = Fraction(15, 100)  # a pixel: 1.7 Mbit/s of 640x360, 7.8 Mbit/s of 1920x1080, at 25 fps


def nvenc_unavailable_reason(encoder: Encoder) -> str:
    """Return why no GPU can encode so here; empty if one can."""
    try:
        context = CodecContext.create(encoder.name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt, context.time_base = 640, 360, "yuv420p", Fraction(1, 25)
        context.open()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return f"no NVIDIA GPU responds: {getattr(error, 'strerror', None) or error}"
    return ""


def choose_encoder(options: SinkOptions) -> tuple[Codec, Encoder, dict[str, str], str]:
    """Return the codec, its encoder, and the encoder's options.

    The last value is a note if NVENC is unavailable.

    Raises:
        SinkError: the codec does not go into the container.
        OptionError: a quality or speed the encoder does not have.
    """
    suffix = options.path.suffix.lower()
    allowed = CONTAINERS[suffix]
    codec = options.codec or allowed[0]
    if codec not in allowed:
        into = [other for other, codecs in CONTAINERS.items() if codec in codecs]
        raise SinkError(
            f"{codec} does not go into {suffix}",
            expected=f"one of {', '.join(allowed)}",
            hint=f"or use {' or '.join(into)}",
        )
    encoder, note = ENCODERS[codec], ""
    if options.encoder == "nvenc":
        other = NVENC_ENCODERS.get(codec)
        reason = nvenc_unavailable_reason(other) if other else f"GPUs do not encode {codec}"
        if other and not reason:
            encoder = other
        else:
            note = f"--encoder nvenc: frames are encoded on the CPU ({reason})"
    preset = _preset(options, codec, encoder)
    encoder_options = encoder.make_options(_crf(options, codec, encoder), preset) | encoder.lookahead_options.get(
        preset, {}
    )
    return codec, encoder, encoder_options, note


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


def choose_live_encoder(
    stream: str, options: OutputOptions, fps: Fraction
) -> tuple[Codec, Encoder, Callable[[int, int], dict[str, str]]]:
    """Return the codec, its encoder, and options for encoding without delay.

    The options are a function of ``(width, height)``.

    Without ``--crf`` the bit rate is bounded too, so that a detailed image does not congest the network.

    Args:
        stream: one of `STREAMS`.
        options: the requested codec, quality and speed.
        fps: frames a second.

    Raises:
        SinkError: the codec does not go into the stream.
        OptionError: a quality or speed the encoder does not have.
    """
    allowed = STREAMS[stream]
    codec = options.codec or allowed[0]
    if codec not in allowed:
        raise SinkError(f"{codec} does not go into {stream}", expected=f"one of {', '.join(allowed)}")
    encoder = ENCODERS[codec]
    crf = _LIVE_CRF[codec] if options.crf is None else _crf(options, codec, encoder)
    base_options = encoder.make_options(crf, _preset(options, codec, encoder)) | {
        "tune": "zerolatency",
        "forced-idr": "1",
    }

    def live_options(width: int, height: int) -> dict[str, str]:
        if options.crf is not None:
            return base_options
        max_bitrate = str(max(round(width * height * fps * _LIVE_BITS_PER_PIXEL), 500_000))
        return base_options | {"maxrate": max_bitrate, "bufsize": max_bitrate}

    return codec, encoder, live_options


def _crf(options: SinkOptions | OutputOptions, codec: Codec, encoder: Encoder) -> int:
    if options.crf is None:
        return encoder.default_crf
    if not encoder.max_crf:
        raise OptionError(f"--crf {options.crf} cannot be used with {codec}, which is lossless", hint="omit --crf")
    if options.crf > encoder.max_crf:
        raise OptionError(f"invalid --crf {options.crf} for {codec}", expected=f"0 to {encoder.max_crf}")
    return options.crf


def _preset(options: SinkOptions | OutputOptions, codec: Codec, encoder: Encoder) -> str:
    if options.preset is None:
        return encoder.default_preset
    preset = str(options.preset)  # from Python also a number, as AV1's are
    if not encoder.presets:
        raise OptionError(f"--preset {preset!r} cannot be used with {codec}, which has no presets", hint="omit it")
    if preset not in encoder.presets:
        raise OptionError(
            f"unknown --preset {preset!r} of {codec}",
            expected=f"one of {', '.join(encoder.presets)}",
            hint=did_you_mean(preset, encoder.presets, 1),
        )
    return preset
