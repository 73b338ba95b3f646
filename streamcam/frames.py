"""The values that travel along the road.

Time is exact everywhere: a presentation time stamp (pts) is an integer count of a time base, a
`Fraction` of a second. Pictures are upright and in one of the `WORKING_FORMATS` pixel formats from the source
on, so nothing later knows about rotation, palettes or chroma layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

WORKING_FORMATS = ("yuv420p", "yuv420p10le")
"""Pixel formats that are drawn on: 4:2:0 planes of 8 bit, or of 10 bit in 16-bit little-endian words."""

RgbImage: TypeAlias = NDArray[np.uint8]
"""``uint8 (height, width, 3)``, RGB, full range."""

Plane: TypeAlias = NDArray[Any]
Planes: TypeAlias = tuple[Plane, Plane, Plane]
"""Luma, Cb and Cr: ``uint8`` or, for 10-bit pictures, ``uint16 (height, width)`` each."""

Heatmap: TypeAlias = NDArray[np.float32]
"""``float32 (h, w)``, raw evidence on a grid that divides the model's input evenly, not normalised, never NaN."""

MapKind: TypeAlias = Literal["heat", "pixels", "signed"]
"""How maps are shown: ``heat``, evidence above zero on a coarse grid; ``pixels``, the same pixel by pixel, where a
few outliers must not set the scale; ``signed``, pixel by pixel, for and against, around zero."""
MAP_KINDS: tuple[MapKind, ...] = get_args(MapKind)


def sample_dtype(pixel_format: str) -> np.dtype[Any]:
    """The type of a picture's samples."""
    return np.dtype(np.uint16 if pixel_format.endswith("10le") else np.uint8)


def plane_arrays(video_frame: VideoFrame) -> Planes:
    """Luma, Cb and Cr of a 4:2:0 picture, 8-bit or 10-bit little-endian, as views of it."""
    dtype = sample_dtype(video_frame.format.name)
    luma, blue, red = (
        np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)[
            : plane.height, : plane.width
        ]
        for plane in video_frame.planes
    )
    return luma, blue, red


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """How numbers in a picture mean colours: the ISO/IEC 23091-2 code points, as in `av` (2 = unspecified).

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
        """The matrix of a picture of this size.

        One of the code points 1, 4, 5, 7 and 9, which FFmpeg's scaler uses too. Where the file does not tell, high
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
    """What is known of a source once it is open.

    Attributes:
        name: the file name or URL, credentials masked.
        width, height: of the upright picture, in stored pixels; may be odd.
        pixel_aspect: width of a stored pixel over its height.
        pixel_format: one of `WORKING_FORMATS`.
        time_base: unit of every `Frame.pts`, in seconds.
        average_fps: average frames per second, None when unknown.
        num_frames: how many frames are to be expected, None when unknown; an estimate for progress only.
        duration_seconds: expected length, None when unknown.
        live: True for a source that cannot wait.
        is_image: True for a single image.
        on_gpu: True where pictures are NV12 in a graphics card's memory, whatever `pixel_format` says.
        passthrough_streams: streams (audio, subtitles) whose packets travel unchanged, as templates for a muxer; not to
            be touched once the source is closed.
        metadata: container tags to carry over.
        chapters: those of the wanted part.
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


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture on its way.

    Attributes:
        index: 0, 1, 2 … in the order delivered by the source.
        pts: presentation time in units of `SourceInfo.time_base`, strictly increasing.
        video_frame: upright, in `SourceInfo.pixel_format`. Read only: decoders may still refer to it.
        model_input: the model's view of it, ``uint8 (h, w, 3)`` RGB, or None where no explanation is wanted.
        passthrough_packets: packets of copied streams that were read since the frame before.
        arrival_time: when the source delivered it, in seconds of `time.monotonic`; 0 before the road takes it.
    """

    index: int
    pts: int
    video_frame: VideoFrame
    model_input: RgbImage | None = None
    passthrough_packets: tuple[Packet[Any], ...] = ()
    arrival_time: float = 0.0


Batch: TypeAlias = tuple[Frame, ...]
"""Consecutive frames that go to the model together; some may have no ``pixels``."""


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Where the model looked for one target.

    Attributes:
        heatmap: raw evidence, float32 ``(h, w)``, on the grid of the model's input.
        label: name of the target: a class, ``tabby − tiger cat``, or a function's name.
        score: what was explained, in logits.
        probability: of the class, 0–1; None for a target that is no class.
        class_index: index of the class; None for a target that is no class.
        vmax: the evidence that is drawn as 1; 0 while there has been none.
    """

    heatmap: Heatmap
    label: str
    score: float
    probability: float | None = None
    class_index: int | None = None
    vmax: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedFrame:
    """A frame and where the model looked.

    Attributes:
        frame: the frame.
        attributions: for each target, in the order in which they were asked for; at least one.
        top: the most probable classes as ``(index, probability)``, best first.
        held: True when the model did not look at this frame; its maps come from the ones it did look at.
        caption_note: what the caption says beside method and layer.
    """

    frame: Frame
    attributions: tuple[Attribution, ...]
    top: tuple[tuple[int, float], ...] = ()
    held: bool = False
    caption_note: str = ""
