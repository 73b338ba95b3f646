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

from .errors import OptionError, nearest
from .geometry import FITS, Fit

Layout: TypeAlias = Literal["overlay", "side-by-side", "heatmap"]
Colormap: TypeAlias = Literal["turbo", "jet", "viridis", "inferno", "magma"]
Codec: TypeAlias = Literal["h264", "hevc", "av1", "vp9", "ffv1"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Unit: TypeAlias = Literal["cpu", "gpu"]
Between: TypeAlias = Literal["hold", "linear", "flow"]
UNITS: tuple[Unit, ...] = get_args(Unit)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
COLORMAPS: tuple[Colormap, ...] = get_args(Colormap)
CODECS: tuple[Codec, ...] = get_args(Codec)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BETWEENS: tuple[Between, ...] = get_args(Between)

DEFAULT_MODEL = "efficientnet-lite0"


DEFAULT_CHANGE = 0.14
"""Measured on the sample clips (`make bench-every`): fewer than half of the frames of each are explained, and the maps
keep a mean cosine of 0.97 or more to those of every frame."""


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(
            f"{option} {value!r} is not known", wanted=f"one of {', '.join(allowed)}", do=nearest(value, allowed)
        )


def _within(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{option} {value:g} is out of range", wanted=f"{low:g} to {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which frames to read.

    Attributes:
        url: path or URL.
        start, end: seconds from the beginning; frames with ``start <= time < end`` are delivered.
        timeout: seconds to wait for a network peer before giving up.
        decode: ``gpu`` lets a graphics card of Nvidia decode, where there is one that can.
    """

    url: str
    start: Fraction | None = None
    end: Fraction | None = None
    timeout: float = 10.0
    decode: Unit = "cpu"

    def __post_init__(self) -> None:
        _one_of("--decode", self.decode, UNITS)
        if self.start is not None and self.start < 0:
            raise OptionError(f"--start {float(self.start):g} is negative", wanted="seconds from the beginning")
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
        feed: what the other inputs get, by name: a number, a list of numbers or an array (the same for every
            picture), a ``.npy`` file, or a function (also as ``package.module:function``) of the preprocessed
            pictures ``(N, H, W, 3)``.
    """

    model: Any = DEFAULT_MODEL
    preprocess: Any = "auto"
    labels: Any = "auto"
    fit: Fit | Literal["auto"] = "auto"
    image_input: str = ""
    feed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("--fit", self.fit, ("auto", *FITS))


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
            raise OptionError("--target is empty", wanted="at least one target")
        _one_of("--precision", self.precision, PRECISIONS)
        _within("--batch", self.batch, 0, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOptions:
    """What happens between frames.

    Attributes:
        every: explain every N-th frame; or, with ``auto``, each whose picture has changed since the last explained one.
        change: how much of it, for ``auto``: the change of the block of the picture that has changed most, as the mean
            difference of its samples from black (0) to white (1). 0 explains every frame in which a sample differs, 1
            none until the longest hold is over; `streamcam.temporal.change` has the formula.
        between: the maps of frames that are not explained: ``hold`` the one before, mix it with the one after by time
            (``linear``), or move both with the picture first (``flow``).
        scale: what is drawn as full evidence: ``running`` (the largest value seen so far), ``frame``
            (each frame's own), or a fixed number.
    """

    every: int | Literal["auto"] = 1
    change: float = DEFAULT_CHANGE
    between: Between = "hold"
    scale: Literal["running", "frame"] | float = "running"

    def __post_init__(self) -> None:
        if self.every != "auto" and not (isinstance(self.every, Integral) and self.every >= 1):
            raise OptionError(f"--every {self.every} is not possible", wanted="1 or more, a whole number, or auto")
        _within("--change", self.change, 0, 1)
        _one_of("--between", self.between, BETWEENS)
        if isinstance(self.scale, str):
            _one_of("--scale", self.scale, ("running", "frame"))
        elif not 0 < self.scale < float("inf"):
            raise OptionError(f"--scale {self.scale:g} is not possible", wanted="a positive number")


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
        _one_of("--layout", self.layout, LAYOUTS)
        _one_of("--colormap", self.colormap, COLORMAPS)
        _within("--alpha", self.alpha, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """Where the result goes.

    Attributes:
        path: output file; its suffix chooses the container.
        codec: video codec, None for the container's usual one.
        crf: constant quality, None for the codec's default.
        preset: encoder speed, None for ours.
        overwrite: replace an existing file.
        encode: ``gpu`` lets a graphics card of Nvidia encode, where there is one that can. Quality and speed are
            told like those of the processor's encoder, and come out differently.
    """

    path: Path
    codec: Codec | None = None
    crf: int | None = None
    preset: str | None = None
    overwrite: bool = False
    encode: Unit = "cpu"

    def __post_init__(self) -> None:
        _one_of("--encode", self.encode, UNITS)
        if self.codec is not None:
            _one_of("--codec", self.codec, CODECS)
        if self.crf is not None:
            _within("--crf", self.crf, 0, 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One input on its way to one output."""

    source: SourceOptions
    sink: SinkOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    time: TimeOptions = field(default_factory=TimeOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """A live source.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``http(s)://`` (MJPEG, HLS), ``rtmp://``, ``webcam``, ``webcam:N``,
            ``/dev/videoN``, ``lavfi:GRAPH``, a file, or ``-`` (standard input).
        name: what it is called on the page and in figures: letters, digits, ``-`` and ``_``.
        timeout: seconds to wait for an answer, on opening and on each read, and for the next picture.
        reconnect: how often in a row a lost source is tried again before it is given up: a number, ``never``,
            ``forever``, or ``auto``: forever, but the first connection must succeed.
        max_age: seconds; what is older when its turn comes is left out and counted.
        realtime: files are delivered at their own rate instead of as fast as they can be decoded.
    """

    url: str
    name: str = "cam1"
    timeout: float = 5.0
    reconnect: int | Literal["auto", "never", "forever"] = "auto"
    max_age: float = 0.5
    realtime: bool = True

    def __post_init__(self) -> None:
        if not (self.name and all(letter.isalnum() or letter in "-_" for letter in self.name)):
            raise OptionError(f"{self.name!r} is not possible as a camera's name", wanted="letters, digits, - and _")
        if not isinstance(self.reconnect, str):
            _within("--reconnect", self.reconnect, 0, 1_000_000)
        elif self.reconnect not in ("auto", "never", "forever"):
            raise OptionError(
                f"--reconnect {self.reconnect!r} is not known", wanted="auto, never, forever, or a number of times"
            )
        _within("--timeout", self.timeout, 0.1, 3600)
        _within("--max-age", self.max_age, 0.05, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutletOptions:
    """Where the pictures of one camera are pushed to.

    Attributes:
        to: ``rtsp://`` or ``rtmp://`` (pushed), ``FOLDER/NAME.m3u8`` (HLS), a video file, ``-`` (MPEG-TS to standard
            output) or ``raw:-`` (YUV4MPEG2 to standard output).
        segment: seconds after which a file is closed and the next one begun; None writes a single one.
        codec, crf, preset: as in `SinkOptions`; ignored by ``raw:-``.
        timeout: seconds for a peer to answer and to take what is sent, before the connection is made anew.
        overwrite: replace existing files.
    """

    to: str
    segment: float | None = None
    codec: Codec | None = None
    crf: int | None = None
    preset: str | None = None
    timeout: float = 5.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.to:
            raise OptionError("--to is empty", wanted="a URL, a file or -")
        if self.codec is not None:
            _one_of("--codec", self.codec, CODECS)
        if self.crf is not None:
            _within("--crf", self.crf, 0, 63)
        if self.segment is not None:
            _within("--segment", self.segment, 1, 7 * 86400)
        _within("--timeout", self.timeout, 0.1, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
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
        outlets: camera's name and where its pictures go.
        page: None for no page.
        explain_fps: most frames a second that are explained, all cameras together; None for no limit.
        duration: seconds after which it ends by itself; None for no end.
    """

    cameras: tuple[CameraOptions, ...]
    outlets: tuple[tuple[str, OutletOptions], ...] = ()
    page: PageOptions | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    draw: DrawOptions = field(default_factory=DrawOptions)
    scale: Literal["running", "frame"] | float = "running"
    explain_fps: float | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.cameras]
        if not names:
            raise OptionError("there is no SOURCE", wanted="at least one camera")
        if len(set(names)) < len(names):
            raise OptionError("two cameras have the same name", wanted="NAME=SOURCE with different names")
        for option, value in (("--explain-fps", self.explain_fps), ("--duration", self.duration)):
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{option} {value:g} is not possible", wanted="a positive number")


def as_targets(target: Any) -> tuple[Any, ...]:
    """One target or several; names and indices as text, functions as they are."""
    several = target if isinstance(target, (tuple, list)) else (target,)
    return tuple(one if callable(one) else str(one) for one in several)


def make_job(url: str, path: str, **options: object) -> Job:
    """A `Job` from flat options, each the name of a field of one of the option objects.

    Raises:
        OptionError: there is no such option, or its value cannot be used.
    """
    given = {"url": url, "path": Path(path), **options}
    given |= {name: os.fspath(value) for name, value in options.items() if isinstance(value, os.PathLike)}
    if "target" in given:
        given["target"] = as_targets(given["target"])
    parts: dict[str, object] = {}
    for part in fields(Job):
        kind = _PARTS[part.name]
        values = {f.name: given.pop(f.name) for f in fields(kind) if f.name in given}
        try:
            parts[part.name] = kind(**values)
        except TypeError as error:
            raise OptionError(f"one of {', '.join(values)} has a value of the wrong type: {error}") from error
    if given:
        unknown = next(iter(given))
        known = [f.name for kind in _PARTS.values() for f in fields(kind)]
        raise OptionError(f"option {unknown!r} is not known", do=nearest(unknown, known))
    return Job(**parts)  # type: ignore[arg-type]


_PARTS: dict[str, Any] = {
    "source": SourceOptions,
    "sink": SinkOptions,
    "model": ModelOptions,
    "explain": ExplainOptions,
    "time": TimeOptions,
    "draw": DrawOptions,
}
