"""Conversion of decoded frames to upright working formats: rotation, chroma layouts, palettes and alpha."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..errors import SourceError
from ..frames import WORKING_FORMATS, ColorSpec
from ..geometry import Size
from ..media.color import color_tags, set_color_tags
from ..media.cuda import CUDA_FORMAT, is_emulated

if TYPE_CHECKING:
    from fractions import Fraction

SRGB_AS_YUV = ColorSpec(range=1, primaries=1, transfer=13, matrix=1)
"""Color of converted RGB images: BT.709 matrix, limited range; primaries and transfer stay sRGB's."""

_ROTATION_FILTERS = ("", "transpose=cclock", "hflip,vflip", "transpose=clock")
"""Filters for 0, 90, 180 and 270 degrees counter-clockwise."""

_MIRRORED_ROTATION_FILTERS = ("vflip,copy", "transpose=clock_flip", "hflip", "transpose=cclock_flip")
"""The same after a vertical flip; `vflip` alone only reverses the order of lines, so `copy` follows."""

_NV12_COMPATIBLE = ("nv12", "yuv420p", "yuvj420p")
"""Formats that hold the samples of NV12, in any order."""

_ALPHA_ORDERS = {"rgba": [0, 1, 2, 3], "bgra": [2, 1, 0, 3]}
"""Packed formats with alpha that need no conversion -> channels of R, G, B and alpha."""

STRIPE_ROWS = 64
"""Rows to blend at once, so that the sums of a large image take little memory and stay in the cache."""

_EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class FrameNormalizer:
    """Converts decoded frames to the format of the first converted frame.

    Frames that already are upright and in that format pass through uncopied. One object per thread.

    Attributes:
        width, height, pixel_format, color: of every frame returned.
        num_resized: frames so far whose size differed from the first one's, and that were scaled to it.
        on_gpu: True if frames are NV12 and stay in GPU memory; a stray frame of another size or format comes as NV12
            in main memory.
    """

    def __init__(
        self, first: VideoFrame, time_base: Fraction, *, keep_on_gpu: bool = False, mirrored: bool = False
    ) -> None:
        """Choose the format from the first frame.

        Args:
            first: any decoded frame of the stream.
            time_base: of the frames.
            keep_on_gpu: True if frames may stay on the GPU; rotated, odd, HDR or 10-bit frames cannot.
            mirrored: True if the images are mirrored, which frames do not report.
        """
        self._mirrored = mirrored
        rotation = rotation_filters(first, mirrored=mirrored)
        is_gpu_frame = first.format.name == CUDA_FORMAT or is_emulated()
        first = to_host(first)
        self._time_base = time_base
        self._reformatter = VideoReformatter()
        self._graphs: dict[tuple[str, str, int, int], Graph] = {}
        self.pixel_format = WORKING_FORMATS[max(part.bits for part in first.format.components) > 8]
        self.color = SRGB_AS_YUV if _needs_color_conversion(first) else color_tags(first)
        width, height = first.width, first.height
        self.width, self.height = (height, width) if "transpose" in rotation else (width, height)
        self.num_resized = 0
        is_plain = not (rotation or _needs_color_conversion(first) or self.color.is_hdr or width % 2 or height % 2)
        self.on_gpu = keep_on_gpu and is_gpu_frame and is_plain and first.format.name in _NV12_COMPATIBLE

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Convert one decoded frame; keep its pts and set correct color tags.

        Raises:
            SourceError: FFmpeg cannot convert its pixel format.
        """
        with _conversion_errors(frame):
            return self._normalize(frame)

    def _normalize(self, frame: VideoFrame) -> VideoFrame:
        if self.on_gpu:
            return self._normalize_gpu_frame(frame)
        frame = to_host(frame)
        rotation = rotation_filters(frame, mirrored=self._mirrored)
        if frame.format.name != self.pixel_format:
            frame = self._to_working_format(frame)
        if rotation:
            frame = self._rotate(frame, rotation)
        if (frame.width, frame.height) != (self.width, self.height):
            self.num_resized += 1
            frame = self._rescale(frame, (self.width, self.height), self.pixel_format)
        return frame

    def to_rgb(self, frame: VideoFrame) -> VideoFrame | None:
        """Return the upright image of a decoded frame as ``rgb24``.

        None if it is YUV.

        Raises:
            SourceError: FFmpeg cannot convert its pixel format.
        """
        if not _needs_color_conversion(frame):
            return None
        with _conversion_errors(frame):
            return self._to_rgb(frame)

    def _to_rgb(self, frame: VideoFrame) -> VideoFrame:
        rotation = rotation_filters(frame, mirrored=self._mirrored)
        if _may_be_transparent(frame):
            rgb = _flatten(frame, self._reformatter)
        else:
            rgb = self._reformatter.reformat(
                frame, format="rgb24", src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.JPEG, threads=1
            )
        return self._rotate(rgb, rotation) if rotation else rgb

    def _normalize_gpu_frame(self, frame: VideoFrame) -> VideoFrame:
        is_resized = (frame.width, frame.height) != (self.width, self.height)
        self.num_resized += is_resized
        if not is_resized and (frame.sw_format or frame.format).name == "nv12":
            return frame
        return self._rescale(frame, (self.width, self.height), "nv12")

    def _to_working_format(self, frame: VideoFrame) -> VideoFrame:
        if _may_be_transparent(frame):
            frame = _flatten(frame, self._reformatter)
        if not _needs_color_conversion(frame):
            return self._rescale(frame, (frame.width, frame.height), self.pixel_format)
        yuv = self._reformatter.reformat(
            frame,
            format=self.pixel_format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
            threads=1,
        )
        return set_color_tags(yuv, SRGB_AS_YUV)

    def _rescale(self, frame: VideoFrame, size: Size, pixel_format: str) -> VideoFrame:
        """Convert a YUV image to another size or layout; keep its color."""
        tags = color_tags(frame)
        color_range = tags.range or ColorRange.MPEG
        # The same matrix before and after means no conversion; the scaler fails on matrices it does not know.
        rescaled = self._reformatter.reformat(
            frame,
            *size,
            pixel_format,
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=color_range,
            dst_color_range=color_range,
            interpolation=_EXACT,
            threads=1,
        )
        return set_color_tags(rescaled, tags)

    def _rotate(self, frame: VideoFrame, rotation: str) -> VideoFrame:
        key = (rotation, frame.format.name, frame.width, frame.height)
        if key not in self._graphs:
            self._graphs[key] = self._build_graph(frame, rotation)
        graph = self._graphs[key]
        graph.push(frame)
        rotated = graph.pull()
        assert isinstance(rotated, VideoFrame)
        return rotated

    def _build_graph(self, frame: VideoFrame, rotation: str) -> Graph:
        graph = Graph()
        last = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or self._time_base
        )
        for step in [*rotation.split(","), "buffersink"]:
            name, _, argument = step.partition("=")
            node = graph.add(name, argument or None)
            last.link_to(node)
            last = node
        graph.configure()
        return graph


@contextlib.contextmanager
def _conversion_errors(frame: VideoFrame) -> Iterator[None]:
    """Translate errors of converting a frame."""
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"frames in the pixel format {frame.format.name} cannot be converted: {reason}",
            hint="convert them to yuv420p first",
        ) from error


def to_host(frame: VideoFrame) -> VideoFrame:
    """Return a frame in main memory.

    The same one if it is there already.
    """
    if frame.format.name != CUDA_FORMAT:
        return frame
    assert frame.sw_format is not None
    return set_color_tags(VideoReformatter().reformat(frame, format=frame.sw_format.name, threads=1), color_tags(frame))


def rotation_filters(frame: VideoFrame, *, mirrored: bool = False) -> str:
    """Return the filters that rotate a frame upright, by quarter turns.

    ``""`` if it is upright.

    The frame's side data, which also has mirroring, is not read: doing so keeps its pixels
    in memory until the garbage collector runs, and with a colour profile among them PyAV 18.1 crashes there.
    """
    return (_MIRRORED_ROTATION_FILTERS if mirrored else _ROTATION_FILTERS)[round(frame.rotation / 90) % 4]


def _needs_color_conversion(frame: VideoFrame) -> bool:
    """Return True for images with alpha or without YUV.

    Those without YUV are RGB, palettes and gray.
    """
    return frame.format.is_rgb or len(frame.format.components) == 1 or _may_be_transparent(frame)


def _may_be_transparent(frame: VideoFrame) -> bool:
    """Return True for palettes and formats with alpha.

    Alpha is the second or fourth component.
    """
    return frame.format.has_palette or len(frame.format.components) in (2, 4)


def _flatten(frame: VideoFrame, reformatter: VideoReformatter) -> VideoFrame:
    """Lay an image with alpha over white; return ``rgb24``."""
    if frame.format.name not in _ALPHA_ORDERS:
        frame = reformatter.reformat(frame, format="rgba", dst_color_range=ColorRange.JPEG, threads=1)
    order = _ALPHA_ORDERS[frame.format.name]
    result = VideoFrame(frame.width, frame.height, "rgb24")
    source, target = packed_rows(frame, 4), packed_rows(result, 3)
    for top in range(0, frame.height, STRIPE_ROWS):
        blend_over_white(source[top : top + STRIPE_ROWS][..., order], target[top : top + STRIPE_ROWS])
    result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
    return result


def blend_over_white(rgba: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Blend pixels with alpha over white.

    Args:
        rgba: ``uint8 (h, w, 4)``.
        target: ``uint8 (h, w, 3)``, RGB, written.
    """
    color, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    target[:] = (color * alpha + 255 * (255 - alpha) + 127) // 255


def packed_rows(frame: VideoFrame, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of a packed 8-bit frame as a view, ``uint8 (height, width, channels)``."""
    plane: Any = frame.planes[0]
    shape, strides = (frame.height, frame.width, channels), (plane.line_size, channels, 1)
    return np.ndarray(shape, np.uint8, plane, strides=strides)
