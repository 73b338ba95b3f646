"""The values that the stages of the pipeline exchange.

Time is exact everywhere: a presentation time stamp (pts) is an integer count of a time base, a
`Fraction` of a second. Frames are upright and in one of the `WORKING_FORMATS` pixel formats from the source
on, so no later stage handles rotation, palettes or chroma layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

WORKING_FORMATS = ("yuv420p", "yuv420p10le")
"""Pixel formats of all frames: 4:2:0 planes of 8 bit, or of 10 bit in 16-bit little-endian words."""

RgbImage: TypeAlias = NDArray[np.uint8]
"""``uint8 (height, width, 3)``, RGB, full range."""

Heatmap: TypeAlias = NDArray[np.float32]
"""``float32 (h, w)``, raw attribution on a grid that divides the model's input evenly, not normalised, never NaN."""

MapKind: TypeAlias = Literal["heat", "pixels", "signed", "relief"]
"""How maps are shown: ``heat``, positive attribution on a coarse grid; ``pixels``, the same by pixel, with a scale
that ignores a few outliers; ``signed``, by pixel, positive and negative, around zero; ``relief``, by pixel, its size
over a frame, and alone a relief around mid gray."""
MAP_KINDS: tuple[MapKind, ...] = get_args(MapKind)


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """The color definition of an image: ISO/IEC 23091-2 code points, as in `av` (2 = unspecified).

    Attributes:
        range: 1 limited (luma 16–235), 2 full, 0 unspecified (which means limited for YUV).
        primaries, transfer, matrix: code points; transfer 16 is PQ, 18 is HLG.
    """

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2

    @property
    def is_hdr(self) -> bool:
        """True for PQ and HLG."""
        return self.transfer in (16, 18)

    def resolve_matrix(self, width: int, height: int) -> int:
        """Return the matrix of an image of this size.

        One of the code points 1, 4, 5, 7 and 9, which FFmpeg's scaler uses too. If the file has no tag, high
        definition is BT.709 (1) and anything smaller BT.601 (5), as in players; constant luminance (10) is treated
        as BT.2020 (9).
        """
        if self.matrix in (1, 4, 5, 6, 7, 9, 10):
            return {6: 5, 10: 9}.get(self.matrix, self.matrix)
        return 1 if max(width, height) >= 1280 or min(width, height) > 576 else 5


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named part of a source.

    Attributes:
        start_seconds, end_seconds: seconds on the frames' clock.
        metadata: its tags; mostly a title.
    """

    start_seconds: Fraction
    end_seconds: Fraction
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of an opened source.

    Attributes:
        name: the file name or URL, credentials masked.
        width, height: of the upright image, in stored pixels; may be odd.
        pixel_aspect: width of a stored pixel over its height.
        pixel_format: one of `WORKING_FORMATS`.
        time_base: unit of every `Frame.pts`, in seconds.
        average_fps: average frames per second, None when unknown.
        num_frames: expected number of frames, None when unknown; an estimate for progress only.
        duration_seconds: expected length, None when unknown.
        live: True for a source that cannot wait.
        is_image: True for a single image.
        on_gpu: True if frames are NV12 in GPU memory, regardless of `pixel_format`.
        passthrough_streams: streams (audio, subtitles) whose packets travel unchanged, as templates for a muxer;
            invalid once the source is closed.
        metadata: container tags to carry over.
        chapters: those within the window.
    """

    name: str
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    color: ColorSpec = ColorSpec()
    pixel_aspect: Fraction = Fraction(1)
    average_fps: Fraction | None = None
    num_frames: int | None = None
    duration_seconds: float | None = None
    live: bool = False
    is_image: bool = False
    on_gpu: bool = False
    passthrough_streams: tuple[Any, ...] = field(default=(), repr=False)
    metadata: dict[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in `pixel_format`: 4:2:0 planes of one or two bytes a sample."""
        return self.width * self.height * 3 // 2 * (2 if self.pixel_format.endswith("10le") else 1)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a source.

    Attributes:
        index: 0, 1, 2 … in the order delivered by the source.
        pts: presentation time in units of `SourceInfo.time_base`, strictly increasing.
        video_frame: upright, in `SourceInfo.pixel_format`. Read only: decoders may still refer to it.
        model_input: the image at the model's input size, ``uint8 (h, w, 3)`` RGB; None if the frame is not explained.
        passthrough_packets: packets of copied streams read since the previous frame.
        arrival_time: when the source delivered it, in seconds of `time.monotonic`; 0 until the pipeline takes it.
        capture_time: when a camera captured it, on the same clock; if its stream does not tell, when the frame should
            have arrived. 0 for other sources.
        rgb_frame: the same image before its conversion to YUV, ``rgb24``, if the source is an RGB image.
        starts_chunk: True for the first frame of a chunk: a segment of the encoder and a chunk of the record begin.
    """

    index: int
    pts: int
    video_frame: VideoFrame
    model_input: RgbImage | None = None
    passthrough_packets: tuple[Packet[Any], ...] = ()
    arrival_time: float = 0.0
    capture_time: float = 0.0
    rgb_frame: VideoFrame | None = None
    starts_chunk: bool = False

    @property
    def latency_start(self) -> float:
        """When the latency begins to count: at the capture if that is known, else at the arrival."""
        return self.capture_time or self.arrival_time

    @property
    def model_source(self) -> VideoFrame:
        """The image that the model input is made from: RGB if the source is, else YUV."""
        return self.rgb_frame or self.video_frame


@dataclass(frozen=True, slots=True)
class FrameRange:
    """A chunk of a source: consecutive frames, which can be explained, drawn and encoded on their own.

    Attributes:
        number: 0, 1, 2 … in the order of the source.
        first_index: index of its first frame.
        num_frames: frames in it.
        first_pts: `Frame.pts` of its first frame.
        end_pts: `Frame.pts` of the first frame after it; None for the last chunk.
    """

    number: int
    first_index: int
    num_frames: int
    first_pts: int
    end_pts: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AudioPacket:
    """A packet of a camera's audio stream.

    Attributes:
        header: describes the stream, as `streamcam.media.stream_header.pack_stream`; the same object for all packets
            of a connection.
        data: encoded samples; empty for the packet that announces the stream.
        pts, duration: in 1/90000 s, on the clock of the camera's frames.
    """

    header: bytes = field(repr=False)
    data: bytes = field(repr=False)
    pts: int
    duration: int


Batch: TypeAlias = tuple[Frame, ...]
"""Consecutive frames that go to the model together; some may have no ``model_input``."""


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """The attribution of one target.

    Attributes:
        heatmap: raw attribution, float32 ``(h, w)``, on the grid of the model's input.
        label: name of the target: a class, ``tabby − tiger cat``, or a function's name.
        score: the explained score, in logits.
        probability: of the class, 0–1; None for a target that is no class.
        class_index: index of the class; None for a target that is no class.
        vmax: the attribution drawn at full strength; 0 if there is none yet.
    """

    heatmap: Heatmap
    label: str
    score: float
    probability: float | None = None
    class_index: int | None = None
    vmax: float = 0.0


@dataclass(frozen=True, slots=True)
class CaptionFacts:
    """Names for captions, besides the classes of a frame.

    Attributes:
        method: name of the method.
        layer: path of the target layer; empty if the method has none.
        targets: the targets as requested.
        labels: names of the classes.
        guess: preprocessing of the model, if it is a guess; empty if it is not.
    """

    method: str = ""
    layer: str = ""
    targets: tuple[str, ...] = ()
    labels: Sequence[str] = ()
    guess: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedFrame:
    """A frame and its attributions.

    Attributes:
        frame: the frame.
        attributions: one for each target, in the requested order; at least one.
        top: the most probable classes as ``(index, probability)``, best first.
        held: True if the frame was not explained itself; its maps come from explained frames before and after it.
        caption_note: text for the caption beside method and layer.
        errors: why the model's result for this frame cannot be used, one line each; nothing is drawn then.
        quality_metrics: for each target, how far the method's maps can be trusted, by the metric's name.
    """

    frame: Frame
    attributions: tuple[Attribution, ...]
    top: tuple[tuple[int, float], ...] = ()
    held: bool = False
    caption_note: str = ""
    errors: tuple[str, ...] = ()
    quality_metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
