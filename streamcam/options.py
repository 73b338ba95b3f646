"""Options: small frozen values, one for each stage, and the `Job` that joins them.

Command line and Python build these; a stage is handed its own and never the whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from .errors import OptionError, did_you_mean
from .geometry import FITS, Fit

Layout: TypeAlias = Literal["overlay", "side-by-side", "heatmap"]
Colormap: TypeAlias = Literal["turbo", "jet", "viridis", "inferno", "magma"]
Codec: TypeAlias = Literal["h264", "hevc", "av1", "vp9", "ffv1"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Unit: TypeAlias = Literal["cpu", "gpu"]
Interpolation: TypeAlias = Literal["hold", "linear", "flow"]
UNITS: tuple[Unit, ...] = get_args(Unit)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
COLORMAPS: tuple[Colormap, ...] = get_args(Colormap)
CODECS: tuple[Codec, ...] = get_args(Codec)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

DEFAULT_MODEL = "efficientnet-lite0"


DEFAULT_CHANGE_THRESHOLD = 0.14
"""Measured on the sample clips (`make bench-every`): fewer than half of the frames of each are explained, and the maps
keep a mean cosine of 0.97 or more to those of every frame."""


def _check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(
            f"{option} {value!r} is not known",
            expected=f"one of {', '.join(allowed)}",
            hint=did_you_mean(value, allowed),
        )


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{option} {value:g} is out of range", expected=f"{low:g} to {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which frames to read.

    Attributes:
        url: path or URL.
        start, end: seconds from the beginning; frames with ``start <= time < end`` are delivered.
        timeout_seconds: seconds to wait for a network peer before giving up.
        decoder: ``gpu`` lets a graphics card of Nvidia decode, where there is one that can.
    """

    url: str
    start: Fraction | None = None
    end: Fraction | None = None
    timeout_seconds: float = 10.0
    decoder: Unit = "cpu"

    def __post_init__(self) -> None:
        _check_choice("--decoder", self.decoder, UNITS)
        if self.start is not None and self.start < 0:
            raise OptionError(f"--start {float(self.start):g} is negative", expected="seconds from the beginning")
        if self.end is not None and self.end <= (self.start or 0):
            raise OptionError(f"--end {float(self.end):g} is not after --start {float(self.start or 0):g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which model, and how pictures and classes are to be understood.

    Attributes:
        model: ``efficientnet-lite0`` (embedded), a name from `keras.applications`, a ``.keras`` or
            ``.h5`` file, a SavedModel folder, ``package.module:function`` returning a model, or, from Python, a
            `keras.Model`.
        preprocess: ``auto``, ``none`` (the model takes RGB 0–255), ``0..1``, ``-1..1``, the name of a
            `keras.applications` family, or a function (also as ``package.module:function``) of float32
            ``(N, H, W, 3)``.
        labels: ``auto``, ``imagenet``, a text file with one class a line, or, from Python, the names.
        fit: how a frame is fitted into the model's input; ``auto`` is ``native`` for a model that takes any size
            and ``stretch`` for others, so that the model sees the whole frame.
        image_input: name of the input that takes the pictures, for models with several; empty finds it.
        extra_input: what the other inputs get, by name: a number, a list of numbers or an array (the same for every
            picture), a ``.npy`` file, or a function (also as ``package.module:function``) of the preprocessed
            pictures ``(N, H, W, 3)``.
    """

    model: Any = DEFAULT_MODEL
    preprocess: Any = "auto"
    labels: Any = "auto"
    fit: Fit | Literal["auto"] = "auto"
    image_input: str = ""
    extra_input: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_choice("--fit", self.fit, ("auto", *FITS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What is explained, and how it is computed.

    Attributes:
        method: name in `streamcam.methods.METHODS`, or a function (also as ``package.module:function``).
        layer: ``auto``, or the name of the target layer (``outer/inner`` for nested models).
        target: what is explained, one or several: ``top`` (each frame's most probable class), a class name, a class
            index, a contrast (``tabby - tiger cat``), or a function of the logits (also as
            ``package.module:function``).
        params: the method's own settings by name, such as ``{"steps": 64}``; numbers may be text.
        batch: frames per call of the model; 0 chooses.
        precision: of the model's arithmetic; maps are float32 always. bfloat16 is for processors, float16 for graphics
            cards.
        device: ``auto`` (the first graphics card, or the processor), ``all``, ``cpu``, ``gpu:0``, or several with
            commas between them.
    """

    method: Any = "gradcam"
    layer: str = "auto"
    target: tuple[Any, ...] = ("top",)
    params: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 0
    precision: Precision = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.target:
            raise OptionError("--target is empty", expected="at least one target")
        _check_choice("--precision", self.precision, PRECISIONS)
        _check_range("--batch", self.batch, 0, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalOptions:
    """What happens between frames.

    Attributes:
        every: explain every N-th frame; or, with ``auto``, each whose picture has changed since the last explained one.
        change_threshold: how much of it, for ``auto``: the change of the block of the picture that has changed most, as the mean
            difference of its samples from black (0) to white (1). 0 explains every frame in which a sample differs, 1
            none until the longest hold is over; `streamcam.temporal.change_detection` has the formula.
        interpolation: the maps of frames that are not explained: ``hold`` the one before, mix it with the one after by time
            (``linear``), or move both with the picture first (``flow``).
        scale: what is drawn as full evidence: ``running`` (the largest value seen so far), ``frame``
            (each frame's own), or a fixed number.
    """

    every: int | Literal["auto"] = 1
    change_threshold: float = DEFAULT_CHANGE_THRESHOLD
    interpolation: Interpolation = "hold"
    scale: Literal["running", "frame"] | float = "running"

    def __post_init__(self) -> None:
        if self.every != "auto" and not (isinstance(self.every, Integral) and self.every >= 1):
            raise OptionError(f"--every {self.every} is not possible", expected="1 or more, a whole number, or auto")
        _check_range("--change-threshold", self.change_threshold, 0, 1)
        _check_choice("--interpolation", self.interpolation, INTERPOLATIONS)
        if isinstance(self.scale, str):
            _check_choice("--scale", self.scale, ("running", "frame"))
        elif not 0 < self.scale < float("inf"):
            raise OptionError(f"--scale {self.scale:g} is not possible", expected="a positive number")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOptions:
    """How the picture looks.

    Attributes:
        layout: heatmap over the picture, beside it, or alone.
        colormap: colours of the evidence.
        alpha: opacity where the evidence is full, 0–1.
        caption: class, probability, method and layer in a corner.
    """

    layout: Layout = "overlay"
    colormap: Colormap = "turbo"
    alpha: float = 0.6
    caption: bool = True

    def __post_init__(self) -> None:
        _check_choice("--layout", self.layout, LAYOUTS)
        _check_choice("--colormap", self.colormap, COLORMAPS)
        _check_range("--alpha", self.alpha, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """Where the result goes.

    Attributes:
        path: output file; its suffix chooses the container.
        codec: video codec, None for the container's usual one.
        crf: constant quality, None for the codec's default.
        preset: encoder speed, None for ours.
        overwrite: replace an existing file.
        encoder: ``gpu`` lets a graphics card of Nvidia encode, where there is one that can. Quality and speed are
            told like those of the processor's encoder, and come out differently.
    """

    path: Path
    codec: Codec | None = None
    crf: int | None = None
    preset: str | None = None
    overwrite: bool = False
    encoder: Unit = "cpu"

    def __post_init__(self) -> None:
        _check_choice("--encoder", self.encoder, UNITS)
        if self.codec is not None:
            _check_choice("--codec", self.codec, CODECS)
        if self.crf is not None:
            _check_range("--crf", self.crf, 0, 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One input on its way to one output."""

    source: SourceOptions
    sink: SinkOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """A live source.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``http(s)://`` (MJPEG, HLS), ``rtmp://``, ``webcam``, ``webcam:N``,
            ``/dev/videoN``, ``lavfi:GRAPH``, a file, or ``-`` (standard input).
        name: what it is called on the page and in figures: letters, digits, ``-`` and ``_``.
        timeout_seconds: seconds to wait for an answer, on opening and on each read, and for the next picture.
        reconnect: how often in a row a lost source is tried again before it is given up: a number, ``never``,
            ``forever``, or ``auto``: forever, but the first connection must succeed.
        max_latency_seconds: seconds; what is older when its turn comes is left out and counted.
        realtime: files are delivered at their own rate instead of as fast as they can be decoded.
    """

    url: str
    name: str = "cam1"
    timeout_seconds: float = 5.0
    reconnect: int | Literal["auto", "never", "forever"] = "auto"
    max_latency_seconds: float = 0.5
    realtime: bool = True

    def __post_init__(self) -> None:
        if not (self.name and all(letter.isalnum() or letter in "-_" for letter in self.name)):
            raise OptionError(f"{self.name!r} is not possible as a camera's name", expected="letters, digits, - and _")
        if not isinstance(self.reconnect, str):
            _check_range("--reconnect", self.reconnect, 0, 1_000_000)
        elif self.reconnect not in ("auto", "never", "forever"):
            raise OptionError(
                f"--reconnect {self.reconnect!r} is not known", expected="auto, never, forever, or a number of times"
            )
        _check_range("--timeout", self.timeout_seconds, 0.1, 3600)
        _check_range("--max-latency", self.max_latency_seconds, 0.05, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where the pictures of one camera are pushed to.

    Attributes:
        url: ``rtsp://`` or ``rtmp://`` (pushed), ``FOLDER/NAME.m3u8`` (HLS), a video file, ``-`` (MPEG-TS to standard
            output) or ``y4m:-`` (YUV4MPEG2 to standard output).
        segment_seconds: seconds after which a file is closed and the next one begun; None writes a single one.
        codec, crf, preset: as in `SinkOptions`; ignored by ``y4m:-``.
        timeout_seconds: seconds for a peer to answer and to take what is sent, before the connection is made anew.
        overwrite: replace existing files.
    """

    url: str
    segment_seconds: float | None = None
    codec: Codec | None = None
    crf: int | None = None
    preset: str | None = None
    timeout_seconds: float = 5.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.url:
            raise OptionError("--to is empty", expected="a URL, a file or -")
        if self.codec is not None:
            _check_choice("--codec", self.codec, CODECS)
        if self.crf is not None:
            _check_range("--crf", self.crf, 0, 63)
        if self.segment_seconds is not None:
            _check_range("--segment-time", self.segment_seconds, 1, 7 * 86400)
        _check_range("--timeout", self.timeout_seconds, 0.1, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The page that shows the cameras.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        token: what a visitor must bring; required on addresses that others can reach.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """Cameras on their way to any number of outputs.

    Attributes:
        cameras: at least one, of different names.
        outputs: camera's name and where its pictures go.
        server: None for no page.
        max_explain_fps: most frames a second that are explained, all cameras together; None for no limit.
        duration_seconds: seconds after which it ends by itself; None for no end.
    """

    cameras: tuple[CameraOptions, ...]
    outputs: tuple[tuple[str, OutputOptions], ...] = ()
    server: ServerOptions | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)
    scale: Literal["running", "frame"] | float = "running"
    max_explain_fps: float | None = None
    duration_seconds: float | None = None

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.cameras]
        if not names:
            raise OptionError("there is no SOURCE", expected="at least one camera")
        if len(set(names)) < len(names):
            raise OptionError("two cameras have the same name", expected="NAME=SOURCE with different names")
        for option, value in (("--max-explain-fps", self.max_explain_fps), ("--duration", self.duration_seconds)):
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{option} {value:g} is not possible", expected="a positive number")


def normalize_targets(target: Any) -> tuple[Any, ...]:
    """One target or several; names and indices as text, functions as they are."""
    targets = target if isinstance(target, (tuple, list)) else (target,)
    return tuple(one if callable(one) else str(one) for one in targets)


def make_job(url: str, path: str, **options: object) -> Job:
    """A `Job` from flat options, each the name of a field of one of the option objects.

    Raises:
        OptionError: there is no such option, or its value cannot be used.
    """
    remaining = {"url": url, "path": Path(path), **options}
    remaining |= {name: os.fspath(value) for name, value in options.items() if isinstance(value, os.PathLike)}
    if "target" in remaining:
        remaining["target"] = normalize_targets(remaining["target"])
    parts: dict[str, object] = {}
    for part in fields(Job):
        option_type = _OPTION_TYPES[part.name]
        values = {f.name: remaining.pop(f.name) for f in fields(option_type) if f.name in remaining}
        try:
            parts[part.name] = option_type(**values)
        except TypeError as error:
            raise OptionError(f"one of {', '.join(values)} has a value of the wrong type: {error}") from error
    if remaining:
        unknown = next(iter(remaining))
        known = [f.name for kind in _OPTION_TYPES.values() for f in fields(kind)]
        raise OptionError(f"option {unknown!r} is not known", hint=did_you_mean(unknown, known))
    return Job(**parts)  # type: ignore[arg-type]


_OPTION_TYPES: dict[str, Any] = {
    "source": SourceOptions,
    "sink": SinkOptions,
    "model": ModelOptions,
    "explain": ExplainOptions,
    "temporal": TemporalOptions,
    "draw": DrawOptions,
}
