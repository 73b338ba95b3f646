"""Option objects: small frozen values, one for each stage.

A new option is a field here, with its type, help text and range, and a line in `streamcam.keywords`, which lists the
keyword arguments of `streamcam.process` and the options of the commands. The command line takes choices, default and
help from the field; `streamcam.job` joins the objects to a job.

Over 300 lines: the single place for the help text and documentation of every option.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from .errors import OptionError
from .option_fields import Help, Range, check_choice, check_options

Fit: TypeAlias = Literal["stretch", "crop", "letterbox", "native"]
Layout: TypeAlias = Literal["overlay", "side-by-side", "heatmap"]
CaptionPosition: TypeAlias = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Colormap: TypeAlias = Literal[
    "auto",
    "turbo", "viridis", "plasma", "inferno", "magma", "cividis", "jet", "hot", "gray",
    "bone", "pink", "cool", "spring", "summer", "autumn", "winter", "hsv",
    "turbo_r", "viridis_r", "plasma_r", "inferno_r", "magma_r", "cividis_r", "jet_r", "hot_r", "gray_r",
    "bone_r", "pink_r", "cool_r", "spring_r", "summer_r", "autumn_r", "winter_r", "hsv_r",
]  # fmt: skip
"""Names of Matplotlib; ``_r`` reverses. ``auto`` suits the kind of map."""
Codec: TypeAlias = Literal["h264", "hevc", "av1", "vp9", "ffv1"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Decoder: TypeAlias = Literal["cpu", "nvdec"]
Encoder: TypeAlias = Literal["cpu", "nvenc"]
Interpolation: TypeAlias = Literal["hold", "linear", "flow"]
Scale: TypeAlias = Literal["running", "frame"] | float
FileScale: TypeAlias = Literal["running", "frame", "stream"] | float
ChannelScale: TypeAlias = Literal["own", "shared"]
FITS: tuple[Fit, ...] = get_args(Fit)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
COLORMAPS: tuple[Colormap, ...] = get_args(Colormap)
CODECS: tuple[Codec, ...] = get_args(Codec)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CAPTION_FIELDS = ("class", "probability", "score", "target", "method", "layer", "time")
"""Contents of a caption: the class, its probability and logit; the target as requested; method and layer; the time of
the frame."""

DEFAULT_MODEL = "efficientnet-lite0"

DEFAULT_CHANGE_THRESHOLD = 0.14
"""Measured on the sample clips (`make bench-every`): fewer than half of the frames of each are explained, and the maps
keep a mean cosine of 0.97 or more to those of every frame."""

MIN_TOKEN_LENGTH = 16
"""Characters of a token: shorter ones can be guessed over a network."""

POSITIVE = Range(sys.float_info.min, sys.float_info.max, "a positive number")
SCALE_RANGE = Range(POSITIVE.low, POSITIVE.high, "running, frame, or a positive number")
_CRF = Range(0, 63)
_SIZE = re.compile(r"(\d+)x(\d+)|(\d+)p|(\d+(?:\.\d+)?)%", re.ASCII)
_TIMEOUT = Range(0.1, 3600)

DEFAULT_MAX_PIXELS = 2 * 7680 * 4320
"""Twice 8K UHD: more than any usual camera or screen; a frame takes 100 MB in 8-bit 4:2:0."""

_MAX_PIXELS = Range(1, 2**31 - 1)
_MAX_PIXELS_HELP = Help("Refuse frames of more pixels; the default is twice 8K UHD.", metavar="N")
_PLAYLIST_HELP = Help("Let a local playlist (HLS, ffconcat, SDP) open other files and addresses.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which frames to read.

    Attributes:
        url: path or URL.
        start, end: seconds from the beginning; frames with ``start <= time < end`` are read. A float becomes the
            fraction of its decimal digits.
        timeout_seconds: seconds to wait for a network peer.
        decoder: ``nvdec`` decodes on an NVIDIA GPU, if one can.
        max_pixels: most pixels of a frame; larger frames are refused before memory is allocated for them.
        allow_playlist_files: a local playlist may open the files and addresses that it names. A network input never
            opens local files.
    """

    url: str
    start: Annotated[Fraction | float | None, Help("Begin at this time: 90, 1:30 or 0:01:30.5.", metavar="TIME")] = None
    end: Annotated[Fraction | float | None, Help("End before this time.", metavar="TIME")] = None
    timeout_seconds: float = 10.0
    decoder: Annotated[Decoder, Help("nvdec decodes on an NVIDIA GPU, if there is one.")] = "cpu"
    max_pixels: Annotated[int, _MAX_PIXELS_HELP, _MAX_PIXELS] = DEFAULT_MAX_PIXELS
    allow_playlist_files: Annotated[bool, _PLAYLIST_HELP] = False

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("start", "end"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _to_fraction(f"--{name}", getattr(self, name)))
        if self.start is not None and self.start < 0:
            raise OptionError(f"invalid --start {float(self.start):g}", expected="0 or more seconds")
        if self.end is not None and self.end <= (self.start or 0):
            raise OptionError(
                f"invalid --end {float(self.end):g}", expected=f"a time after --start {float(self.start or 0):g}"
            )

    @property
    def window(self) -> tuple[Fraction, Fraction | None]:
        """Start, 0 if None, and end, as fractions."""
        return Fraction(self.start or 0), None if self.end is None else Fraction(self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The model to load, and the meaning of its inputs and classes.

    Attributes:
        model: ``efficientnet-lite0`` (embedded), a name from `keras.applications`, a ``.keras`` or ``.h5`` file, a
            SavedModel folder, ``package.module:function`` that returns a model, or, from Python, a `keras.Model`.
        preprocess: ``auto``, ``none`` (the model takes RGB 0–255), ``0..1``, ``-1..1``, the name of a
            `keras.applications` family, or a function (also as ``package.module:function``) of float32
            ``(N, H, W, 3)``.
        labels: ``auto``, ``imagenet``, a text file with one class a line, or, from Python, the names.
        fit: how a frame is fitted into the model's input; ``auto`` is ``native`` for a model that accepts any size and
            ``stretch`` for others, so that the model sees the whole frame.
        image_input: name of the input that takes the images, for models with several; empty finds it.
        extra_input: values of the other inputs, by name: a number, a list of numbers or an array (the same for every
            image), a ``.npy`` file, or a function (also as ``package.module:function``) of the preprocessed images
            ``(N, H, W, 3)``.
        trust_model: execute code in the model's file (Lambda layers) and operations that reach beyond the graph; only
            for files that you made yourself.
    """

    model: Annotated[
        Any,
        Help(
            "efficientnet-lite0, a keras.applications name, a .keras/.h5 file, a SavedModel folder, or "
            "package.module:function."
        ),
    ] = DEFAULT_MODEL
    preprocess: Annotated[
        Any, Help("auto, none, 0..1, -1..1, a keras.applications family, or package.module:function.")
    ] = "auto"
    labels: Annotated[Any, Help("auto, imagenet, or a text file with one class a line.")] = "auto"
    fit: Annotated[
        Literal["auto"] | Fit, Help("How a frame fits the model's input; auto shows the model the whole frame.")
    ] = "auto"
    image_input: Annotated[str, Help("Input that takes the images, for models with several.")] = ""
    extra_input: Annotated[
        Mapping[str, Any],
        Help(
            "Value of another input; repeatable: a number, a JSON list, a .npy file, or package.module:function of "
            "the images.",
            metavar="NAME=VALUE",
        ),
    ] = field(default_factory=dict)
    trust_model: Annotated[
        bool, Help("Execute code and unsafe operations in the model's file; only for files you made yourself.")
    ] = False

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """The target to explain, and the method.

    Attributes:
        method: name in `streamcam.methods.METHODS`, or a function (also as ``package.module:function``).
        layer: ``auto``, or the name of the target layer (``outer/inner`` for nested models).
        target: one or several: ``top`` (each frame's most probable class), a class name, a class index, a contrast
            (``tabby - tiger cat``), or a function of the logits (also as ``package.module:function``).
        params: the method's own parameters by name, such as ``{"steps": 64}``; numbers may be text.
        batch: frames per model call; 0 chooses.
        precision: precision of the model's arithmetic; maps are always float32. bfloat16 is for CPUs, float16 for GPUs.
        device: ``auto`` (the first GPU, or the CPU), ``all``, ``cpu``, ``gpu:0``, or several joined by commas.
    """

    method: Annotated[Any, Help("A name that streamcam methods lists, or package.module:function.")] = "gradcam"
    layer: Annotated[str, Help("Target layer, or auto; see streamcam layers MODEL.")] = "auto"
    target: Annotated[
        tuple[Any, ...],
        Help(
            "What to explain; repeatable: top, a class name or index, a contrast 'tabby - tiger cat', or "
            "package.module:function of the logits.",
            default="top",
        ),
    ] = ("top",)
    params: Annotated[
        Mapping[str, Any],
        Help("Parameter of the method; repeatable, such as steps=64.", option="--param", metavar="NAME=VALUE"),
    ] = field(default_factory=dict)
    batch: Annotated[
        int, Help("Most frames per model call; auto chooses.", metavar="N|auto", default="auto"), Range(0, 1024)
    ] = 0
    precision: Annotated[Precision, Help("Arithmetic of the model: bfloat16 is for CPUs, float16 for GPUs.")] = "auto"
    device: Annotated[str, Help("auto, all, cpu, gpu:0, or several joined by commas.")] = "auto"

    def __post_init__(self) -> None:
        check_options(self)
        if not self.target:
            raise OptionError("--target is empty", expected="at least one target")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalOptions:
    """Which frames to explain, and the maps of the frames between them.

    Attributes:
        every: explain every N-th frame; with ``auto``, each frame that differs from the last explained one.
        change_threshold: for ``auto``: change of the block of the frame that changed most, as the mean difference of
            its samples from black (0) to white (1). 0 explains every frame in which a sample differs, 1 none until the
            longest hold ends; `streamcam.temporal.change_detection` has the formula.
        interpolation: maps of the other frames: ``hold`` the last one, mix it with the next by time (``linear``), or
            move both along the optical flow first (``flow``).
        scale: the attribution that is drawn at full strength: ``running`` (the largest so far), ``frame`` (each
            frame's own largest), ``stream`` (the largest of the whole file, which is read twice), or a fixed number.
    """

    every: Annotated[
        int | Literal["auto"],
        Help("Explain every N-th frame; auto explains those that changed.", metavar="N|auto"),
        Range(1, sys.maxsize, "1 or more, a whole number, or auto"),
    ] = 1
    change_threshold: Annotated[
        float,
        Help("For --every auto: how much a block of the frame must change, 0 to 1 (black to white)."),
        Range(0, 1),
    ] = DEFAULT_CHANGE_THRESHOLD
    interpolation: Annotated[
        Interpolation,
        Help("Maps of the frames between: hold the last, mix it with the next (linear), or follow the motion (flow)."),
    ] = "hold"
    scale: Annotated[
        FileScale,
        Help(
            "Attribution drawn at full strength: running (largest so far), frame (each frame's own), stream (largest "
            "of the file), or a number.",
            metavar="running|frame|stream|NUMBER",
        ),
        Range(POSITIVE.low, POSITIVE.high, "running, frame, stream, or a positive number"),
    ] = "running"

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOptions:
    """How to draw the heatmap.

    Attributes:
        layout: heatmap over the frame, beside it, or alone.
        colormap: colors of the attribution, by Matplotlib's names; ``_r`` reverses. ``auto`` is ``turbo``, but
            ``RdBu_r`` for signed maps, and ``gray`` for maps of pixels alone.
        alpha: opacity of the strongest attribution, 0–1.
        caption: text in a corner, as `caption_fields` lists.
        caption_position: the corner.
        caption_size: height of the text, relative to the usual (4.4 % of the frame's shorter side); None is 1, and 1.4
            for live cameras, whose frames are often shown small.
        caption_fields: names of `CAPTION_FIELDS`, joined by commas.
        top_k: how many of the most probable classes the caption lists.
        legend: a color bar with the attributions of its ends, opposite the caption.
        size: of the output, panels included, with the aspect ratio kept and both sides even: ``1280x720`` fits within,
            ``720p`` sets the shorter side, ``50%`` scales. None keeps the source's size.
    """

    layout: Annotated[Layout, Help("Heatmap over the frame, beside it, or alone.")] = "overlay"
    colormap: Annotated[
        Colormap,
        Help(
            "Colors of the heatmap: a Matplotlib name, such as viridis or gray_r; auto suits the method.",
            metavar="NAME",
        ),
    ] = "auto"
    alpha: Annotated[float, Help("Opacity of the strongest attribution, 0 to 1."), Range(0, 1)] = 0.6
    caption: Annotated[bool, Help("Class, probability, method and layer in a corner.")] = True
    caption_position: Annotated[CaptionPosition, Help("Corner of the caption.")] = "top-left"
    caption_size: Annotated[
        float | None,
        Help("Size of the caption's text, relative to the usual.", metavar="FACTOR", default="1, live 1.4"),
        Range(0.5, 4),
    ] = None
    caption_fields: Annotated[
        str,
        Help(f"What the caption shows, joined by commas: {', '.join(CAPTION_FIELDS)}.", metavar="FIELD,..."),
    ] = "class,probability,method,layer"
    top_k: Annotated[int, Help("How many of the most probable classes the caption lists."), Range(1, 5)] = 1
    legend: Annotated[bool, Help("Color bar with its values, opposite the caption.")] = False
    size: Annotated[
        str | None,
        Help(
            "Output size: WxH (fits within), 720p (shorter side) or 50%.",
            metavar="WxH|720p|50%",
            default="the source's",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_options(self)
        names = [name.strip() for name in str(self.caption_fields).split(",")]
        for name in names:
            check_choice("--caption-fields", name, CAPTION_FIELDS)
        object.__setattr__(self, "caption_fields", ",".join(names))
        if self.size:
            parse_size(self.size)

    @property
    def caption_parts(self) -> frozenset[str]:
        """The names in `caption_fields`."""
        return frozenset(self.caption_fields.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """The output file and its encoding.

    Attributes:
        path: output file; its suffix chooses the container.
        codec: video codec, None for the container's usual one.
        crf: constant quality, None for the codec's default.
        preset: encoder speed, None for streamcam's default.
        overwrite: replace an existing file.
        encoder: ``nvenc`` encodes on an NVIDIA GPU, if one can. It takes the same ``crf`` and ``preset``; its quality
            and speed differ.
        encoders: how many encoders of a video work at once, each on a segment of it; ``auto`` follows the CPU cores and
            the free memory. With one, the video is not cut into segments. An output that is no
            video ignores it.
        record: folder of a record: the raw maps and scores of every frame, for `streamcam.open_record`; ``auto`` and
            True are the output with ``.streamcam`` added. None and False write none.
        resume: continue a run that ended early, from its record: with the same options and source, the result is that
            of one run. ``record`` is ``auto`` then, by default. A run without a record starts at the beginning; one
            that is complete is not done again.
    """

    path: Path
    codec: Annotated[Codec | None, Help("Video codec; by default what suits the file.")] = None
    crf: Annotated[int | None, Help("Constant quality; lower is better."), _CRF] = None
    preset: Annotated[str | None, Help("Encoder speed, as the codec names it.")] = None
    overwrite: Annotated[bool, Help("Replace existing files.")] = False
    encoder: Annotated[Encoder, Help("nvenc encodes on an NVIDIA GPU, if there is one.")] = "cpu"
    encoders: Annotated[
        int | Literal["auto"],
        Help("Encoders that work at once, each on a segment of the video; auto chooses.", metavar="N|auto"),
        Range(1, 256, "1 to 256, or auto"),
    ] = "auto"
    record: Annotated[
        str | bool | None,
        Help(
            "Keep the maps and scores of every frame in a folder; without DIR in OUTPUT.streamcam. Write --record=DIR "
            "if DIR could be an input: an existing file or folder, or a name such as clip.mp4.",
            metavar="[DIR]",
            bare="auto",
        ),
    ] = None
    resume: Annotated[bool, Help("Continue a run that ended early, from its record; it implies --record.")] = False

    def __post_init__(self) -> None:
        check_options(self)
        if isinstance(self.record, bool):
            object.__setattr__(self, "record", "auto" if self.record else None)
        if self.record == "":
            raise OptionError("--record is empty", expected="a folder, or auto")
        if self.record is not None and not isinstance(self.record, str):
            raise OptionError(f"invalid --record {self.record!r}", expected="a folder, or auto")
        if self.resume and self.record is None:
            object.__setattr__(self, "record", "auto")
        if self.record_path == self.path:
            raise OptionError(f"--record {self.record} is the output itself", expected="another name")

    @property
    def record_path(self) -> Path | None:
        """The folder of the record; None without one."""
        if self.record is None:
            return None
        return record_folder(self.path) if self.record == "auto" else Path(str(self.record))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """A record, and the targets of it to draw.

    Attributes:
        record: folder of the record.
        source: path or URL of the recorded source; None for where it was.
        target: names of recorded targets; empty for all.
    """

    record: str
    source: Annotated[str | None, Help("The recorded source, if it has moved since.", metavar="FILE")] = None
    target: Annotated[tuple[Any, ...], Help("Draw only this recorded target; repeatable.", default="all recorded")] = ()

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """The filters to visualise, and how their images are found.

    Attributes:
        layer: ``auto``, or the path of the layer.
        filters: channels, ranges, sums of channels, the strongest ones, and classes, joined by commas.
        steps: of gradient ascent, over all octaves.
        seed: of the first image and of all transformations.
        size: side of the images in pixels; 0 for the model's input, or 128 if it accepts any size.
        octaves: sizes that the images grow through, each twice as large as the one before; 0 for 1 in the first layers,
            whose filters respond to details of single pixels, and 2 elsewhere.
        parametrization: ``fourier``, or ``maco``: the magnitudes of the spectrum are fixed.
        learning_rate: of Adam, in Fourier space; higher once the transformations end, except in the deepest layers.
        jitter: largest shift before a step, in pixels.
        scale: largest relative change of scale before a step.
        rotation: largest rotation before a step, in degrees.
        tv: weight of the total variation of the image in the loss, with colors from 0 to 1.
        l2: weight of the mean squared distance from mid gray.
    """

    layer: Annotated[str, Help("Layer of the filters, or auto; see streamcam layers MODEL.")] = "auto"
    filters: Annotated[
        str, Help("0-15, 3,17, 3+17 (a sum), strongest:16 or class:NAME; several with commas.", metavar="LIST")
    ] = "0-15"
    steps: Annotated[int, Help("Steps of gradient ascent."), Range(1, 100_000)] = 256
    seed: Annotated[int, Help("Seed of the noise and of the transformations."), Range(0, 2**31 - 1)] = 0
    size: Annotated[
        int, Help("Side of the images in pixels; 0 is the model's input, or 128 if it accepts any."), Range(0, 2048)
    ] = 0
    octaves: Annotated[
        int,
        Help("Sizes that the images grow through, each twice as large; 0 is 1 in the first layers, else 2."),
        Range(0, 6),
    ] = 0
    parametrization: Annotated[
        Literal["fourier", "maco"], Help("maco fixes the magnitudes of the spectrum to 1/f and optimises the phases.")
    ] = "fourier"
    learning_rate: Annotated[float, Help("Learning rate of Adam."), Range(1e-6, 10)] = 0.05
    jitter: Annotated[int, Help("Largest random shift before a step, in pixels."), Range(0, 256)] = 8
    scale: Annotated[float, Help("Largest random change of scale before a step."), Range(0, 1)] = 0.1
    rotation: Annotated[float, Help("Largest random rotation before a step, in degrees."), Range(0, 180)] = 5.0
    tv: Annotated[float, Help("Weight of the total variation of the image."), Range(0, 1e9)] = 0.0
    l2: Annotated[float, Help("Weight of the squared distance from mid gray."), Range(0, 1e9)] = 0.0

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionOptions:
    """How a training log becomes a video.

    Attributes:
        method: the method in the log, with its target if there are several; empty for the first.
        images: most validation images to show, the first of the log.
        step_seconds: seconds of an explanation; 0 for half a second, or less if the video would take over 30.
        fps: frames a second.
        interpolation: ``linear`` moves to the next explanation in the second half of its time; ``hold`` does not.
        alpha: opacity of full attribution.
        colormap: a Matplotlib name; ``auto`` suits the method.
    """

    method: Annotated[str, Help("Method in the log; the first by default.", metavar="NAME")] = ""
    images: Annotated[int, Help("Most validation images to show.", metavar="N"), Range(1, 256)] = 16
    step_seconds: Annotated[
        float, Help("Seconds of each explanation; 0 chooses, for a video of 30 s at most."), Range(0, 60)
    ] = 0.0
    fps: Annotated[int, Help("Frames a second."), Range(1, 120)] = 25
    interpolation: Annotated[
        Literal["linear", "hold"], Help("Move from one explanation to the next, or hold each.")
    ] = "linear"
    alpha: Annotated[float, Help("Opacity of full attribution."), Range(0, 1)] = 0.6
    colormap: Annotated[
        Colormap, Help("Colors of the maps: a Matplotlib name; auto suits the method.", metavar="NAME")
    ] = "auto"

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions:
    """How much of an input pipeline to read and to show.

    Attributes:
        samples: images to show for each stage.
        seed: of their choice.
        limit: most images to read of each data set.
    """

    samples: Annotated[int, Help("Images to show for each stage."), Range(1, 256)] = 24
    seed: Annotated[int, Help("Seed of the choice of images."), Range(0, 2**31 - 1)] = 0
    limit: Annotated[int, Help("Most images to read of each data set."), Range(1, 1_000_000)] = 2000

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationOptions:
    """Which feature maps to read and to draw.

    Attributes:
        layers: paths of layers joined by commas, or ``auto``: some through the depth of the network.
        channels: most channels of a layer to draw: those with the largest mean activation.
        scale: ``own`` draws each channel from its own smallest to its own largest value over the whole input;
            ``shared`` uses the smallest and largest value of the layer.
        colormap: a Matplotlib name; ``auto`` is ``viridis``, but ``RdBu_r`` around 0 for layers with negative values.
    """

    layers: Annotated[
        str, Help("Layers joined by commas; auto chooses some through the depth.", metavar="LAYER,...|auto")
    ] = "auto"
    channels: Annotated[
        int,
        Help("Most channels of a layer to draw: those of the largest mean activation.", metavar="N"),
        Range(1, 4096),
    ] = 32
    scale: Annotated[
        ChannelScale, Help("Colors by the range of each channel (own), or of its whole layer (shared).")
    ] = "own"
    colormap: Annotated[
        Colormap, Help("Colors of the maps: a Matplotlib name; auto suits the layer.", metavar="NAME")
    ] = "auto"

    def __post_init__(self) -> None:
        check_options(self)
        if not self.layer_names and self.layers != "auto":
            raise OptionError("--layers is empty", expected="auto, or layers joined by commas")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers in `layers`; none for ``auto``."""
        names = (name.strip() for name in self.layers.split(","))
        return () if self.layers == "auto" else tuple(name for name in names if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """A live source.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``http(s)://`` (MJPEG, HLS), ``rtmp://``, ``webcam``, ``webcam:N``,
            ``/dev/videoN``, ``lavfi:GRAPH``, a file, or ``-`` (standard input).
        name: on the page and in the metrics: letters, digits, ``-`` and ``_``.
        timeout_seconds: seconds to wait for the connection, for each read, and for the next frame.
        reconnect: how often in a row to reconnect to a lost source: a number, ``never``, ``forever``, or ``auto``:
            forever, but the first connection must succeed.
        max_latency_seconds: older frames are dropped and counted.
        realtime: read files at their own rate instead of as fast as possible.
        audio: ``copy`` sends the camera's audio to its outputs, unchanged; ``none`` drops it.
        loop: begin files and recordings again at their end.
        snapshot_seconds: seconds between two requests of a URL that returns one image.
        credentials: file in netrc format with the logins of cameras, by host; empty for none. ``STREAMCAM_LOGIN``
            holds the login of the others.
        rtsp_transport: ``tcp``, ``udp``, or ``auto``: TCP, and UDP if the camera refuses it.
        max_pixels, allow_playlist_files: as in `SourceOptions`.
    """

    url: str
    name: str = "cam1"
    timeout_seconds: Annotated[
        float,
        Help("Seconds to wait for a camera or a peer.", option="--timeout", metavar="SECONDS"),
        _TIMEOUT,
    ] = 5.0
    reconnect: Annotated[
        int | Literal["auto", "never", "forever"],
        Help(
            "How often in a row to reconnect to a lost camera; auto: forever after a first connection.",
            metavar="auto|never|forever|N",
        ),
        Range(0, 1_000_000, "auto, never, forever, or a number from 0 to 1000000"),
    ] = "auto"
    max_latency_seconds: Annotated[
        float,
        Help("Drop frames that are older, and count them.", option="--max-latency", metavar="SECONDS"),
        Range(0.05, 60),
    ] = 0.5
    realtime: Annotated[bool, Help("Read files at their own rate, not as fast as possible.")] = True
    audio: Annotated[Literal["copy", "none"], Help("Audio of the camera in its outputs: copy it, or none.")] = "none"
    loop: Annotated[bool, Help("Begin files again at their end.")] = False
    snapshot_seconds: Annotated[
        float,
        Help(
            "Seconds between two requests of a URL that returns one image.",
            option="--snapshot-interval",
            metavar="SECONDS",
        ),
        Range(0.05, 3600),
    ] = 1.0
    credentials: Annotated[
        str,
        Help(
            "File with logins of cameras, in netrc format: machine HOST login USER password PASSWORD.", metavar="FILE"
        ),
    ] = ""
    rtsp_transport: Annotated[
        Literal["auto", "tcp", "udp"],
        Help("Transport of RTSP video; auto: TCP, and UDP if the camera refuses it."),
    ] = "auto"
    max_pixels: Annotated[int, _MAX_PIXELS_HELP, _MAX_PIXELS] = DEFAULT_MAX_PIXELS
    allow_playlist_files: Annotated[bool, _PLAYLIST_HELP] = False

    def __post_init__(self) -> None:
        check_options(self)
        if not (self.name and all(letter.isalnum() or letter in "-_" for letter in self.name)):
            raise OptionError(f"invalid camera name {self.name!r}", expected="letters, digits, - and _")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """An output for the frames of one camera.

    Attributes:
        url: ``rtsp://`` or ``rtmp://`` (pushed), ``FOLDER/NAME.m3u8`` (HLS), a video file, ``-`` (MPEG-TS to standard
            output) or ``y4m:-`` (YUV4MPEG2 to standard output).
        segment_seconds: begin a new file after this time; None writes a single one. Only video files use it.
        codec, crf, preset: as in `SinkOptions`; ``y4m:-`` has none of them.
        timeout_seconds: seconds for a peer to answer and to accept data, before the output reconnects.
        overwrite: replace existing files.
    """

    url: str
    segment_seconds: Annotated[
        float | None,
        Help("Begin a new video file after this time, such as 10m.", option="--segment-time", metavar="TIME"),
        Range(1, 7 * 86400),
    ] = None
    codec: Annotated[Codec | None, Help("Video codec, for --to.")] = None
    crf: Annotated[int | None, Help("Constant quality, for --to."), _CRF] = None
    preset: Annotated[str | None, Help("Encoder speed, for --to.")] = None
    timeout_seconds: Annotated[
        float, Help("Seconds to wait for a camera or a peer.", option="--timeout", metavar="SECONDS"), _TIMEOUT
    ] = 5.0
    overwrite: Annotated[bool, Help("Replace existing files.")] = False

    def __post_init__(self) -> None:
        check_options(self)
        if not self.url:
            raise OptionError("--to is empty", expected="a URL, a file or -")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The page that shows the cameras.

    Attributes:
        host, port: address to listen on; port 0 takes a free one.
        token: secret that a viewer must present, of at least 16 characters; required on addresses that others can
            reach.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Help("Port of the page.", option="--http port"), Range(0, 65535)] = 8080
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_options(self)
        if self.token and len(self.token) < MIN_TOKEN_LENGTH:
            raise OptionError(
                f"--token has {len(self.token)} characters",
                expected=f"at least {MIN_TOKEN_LENGTH}",
                hint="--token auto generates one",
            )


def record_folder(output: Path) -> Path:
    """Return the folder of an output's record: ``out.mp4.streamcam`` for ``out.mp4``."""
    return output.with_name(f"{output.name}.streamcam")


def parse_size(text: str) -> tuple[str, tuple[Fraction, ...]]:
    """Parse a size of an output.

    Returns:
        ``x``, ``p`` or ``%``, and its one or two numbers: sides or lines in pixels, or per cent.

    Raises:
        OptionError: another form, a side outside of 16 to 16384, or a scale over 400 %.
    """
    match = _SIZE.fullmatch(str(text))
    unit = next((one for one in "xp%" if one in str(text)), "")
    numbers = tuple(Fraction(one) for one in match.groups() if one) if match else ()
    low, high = (1, 400) if unit == "%" else (16, 16384)
    if not (numbers and all(low <= number <= high for number in numbers)):
        raise OptionError(
            f"invalid --size {text!r}", expected="WxH, such as 1280x720, 720p or 50%; sides of 16 to 16384, 1% to 400%"
        )
    return unit, numbers


def _to_fraction(option: str, seconds: Any) -> Fraction:
    try:
        if isinstance(seconds, Real):
            return Fraction(str(seconds))
    except ValueError:
        pass
    raise OptionError(f"invalid {option} {seconds!r}", expected="a number of seconds, such as 90 or 1.5")


def normalize_targets(target: Any) -> tuple[Any, ...]:
    """Return one target or several as a tuple: names and indices as text, functions as they are."""
    targets = target if isinstance(target, (tuple, list)) else (target,)
    return tuple(one if callable(one) else str(one) for one in targets)


def distinct_targets(targets: Iterable[Any]) -> tuple[Any, ...]:
    """Return normalised targets, each once and in order.

    Two class names may differ in case only; ``top`` is the same in any case.
    """
    found: dict[Any, Any] = {}
    for one in targets:
        key = id(one) if callable(one) else one.strip()
        found.setdefault("top" if isinstance(key, str) and key.casefold() == "top" else key, one)
    return tuple(found.values())
