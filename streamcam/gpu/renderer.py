"""Draw on frames in GPU memory what `streamcam.compose.FrameRenderer` draws, sample for sample."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from av.video.frame import VideoFrame

from ..compose.annotations import Annotations
from ..compose.caption import CaptionBox
from ..compose.overlay import level_kind, make_blend_table
from ..compose.panels import arrange_panels
from ..compose.renderer import copy_color_tags
from ..compose.upsample import block_weights, scale_to_levels
from ..frames import CaptionFacts, ExplainedFrame, MapKind, SourceInfo
from ..geometry import Geometry, Size
from ..media.color import rgb_to_ycbcr
from ..options import DrawOptions
from ..tf import tf
from .dlpack import cuda_context, on_device, pack_nv12, to_tensors, to_video_frame

_FIXED_POINT_ONE = 256
"""The fixed-point 1 of `streamcam.compose.yuv.BlendOp`. Its integers are float32 here, which holds them and their
products exactly: TensorFlow computes 32-bit integers on the CPU."""


_Coefficients: TypeAlias = tuple[Any, Any, Any, Any]


class GpuRenderer:
    """Draws on NV12 frames on a device.

    Not thread-safe. Heatmaps are interpolated in one matrix product, which rounds a little differently: by one level of
    4096 in places, and by up to four on GPUs that multiply in TF32 (Ampere and later).

    Args:
        options, info, geometry, facts, panels, map_kind: as in `streamcam.compose.FrameRenderer`.
        device: where the frames are, as from `resolve_devices`.
    """

    def __init__(
        self,
        options: DrawOptions,
        info: SourceInfo,
        geometry: Geometry,
        *,
        facts: CaptionFacts,
        device: str,
        panels: int = 1,
        map_kind: MapKind = "heat",
    ) -> None:
        self._device = device
        self._cuda = cuda_context(device)
        self._info, self._geometry = info, geometry
        self._level_kind = level_kind(options, map_kind)
        self._panels = arrange_panels(options, info, panels)
        table, self._min_level = make_blend_table(options, info, map_kind)
        self._table = table.astype(np.float32)
        self._annotations = Annotations(options, info, self._panels.panel, facts, map_kind, panels)
        self._graphs: dict[Size, Any] = {}

    @property
    def size(self) -> Size:
        """``(width, height)`` of the drawn frames."""
        return self._panels.size

    def draw(self, item: ExplainedFrame) -> VideoFrame:
        """Draw one frame.

        Args:
            item: a frame of this renderer's source with an attribution for each target; its video frame is only read.

        Returns:
            A new video frame of this renderer's `size` on the device, completely drawn, with its time and colour tags.
        """
        level_maps = [scale_to_levels(one.heatmap, one.vmax, self._level_kind) for one in item.attributions]
        boxes = [self._annotations.render(item, panel) for panel in range(len(item.attributions))]
        with on_device(self._device):
            luma, chroma = to_tensors(item.frame.video_frame)
            render = self._graph_for(level_maps[0].shape)
            nv12 = render(
                luma, chroma, np.stack(level_maps), [[_stack_coefficients(box) for box in one] for one in boxes]
            )
            video_frame = to_video_frame(nv12, self.size[0], self._cuda)
        return copy_color_tags(video_frame, item.frame, self._info)

    def _graph_for(self, map_shape: tuple[int, ...]) -> Any:
        size = map_shape[1], map_shape[0]
        if size not in self._graphs:
            rows, columns = block_weights(self._geometry, size)
            self._graphs[size] = tf.function(
                lambda luma, chroma, levels, boxes: self._render(luma, chroma, rows @ levels @ columns.T, boxes),
                reduce_retracing=True,
            )
        return self._graphs[size]

    def _render(self, luma: Any, chroma: Any, levels: Any, boxes: list[list[_Coefficients]]) -> Any:
        """Draw all panels into one tensor, as from `pack_nv12`.

        Args:
            luma: the source's luma, as from `to_tensors`.
            chroma: the source's chroma, likewise.
            levels: float32 ``(targets, blocks down, blocks across)``, not rounded.
            boxes: as from `_stack_coefficients`, those of each target.
        """
        panels, (width, height) = self._panels, self._panels.panel
        # Luma as blocks of 2×2: the overlay of a block blends with its four samples.
        luma = tf.reshape(tf.cast(luma[:, :width], tf.float32), (height // 2, 2, width // 2, 2))
        chroma = tf.cast(chroma[:, : width // 2], tf.float32)
        tiles = [(luma, chroma)] * panels.num_plain
        # Rounded as `streamcam.compose.upsample.MapUpsampler` does.
        rounded_levels = tf.clip_by_value(
            tf.cast(levels + 0.5, tf.int64), self._min_level, self._min_level + len(self._table) - 1
        )
        coefficients = tf.gather(self._table, rounded_levels - self._min_level)
        for n in range(panels.num_targets):
            keep, add, blue, red = tf.unstack(coefficients[n], axis=-1)
            blended_luma = _blend(luma, keep[:, None, :, None], add[:, None, :, None])
            blended_chroma = _blend(chroma, keep[..., None], tf.stack([blue, red], axis=-1))
            for box in boxes[n]:
                blended_luma, blended_chroma = self._add_box(blended_luma, blended_chroma, *box)
            tiles.append((blended_luma, blended_chroma))
        black = [float(round(code)) for code in rgb_to_ycbcr(np.zeros((1, 3)), self._info)[0]]
        empty = tf.fill(luma.shape, black[0]), tf.zeros_like(chroma) + black[1:]
        tiles += [empty] * (len(panels.origins) - len(tiles))
        lines = [tiles[n : n + panels.columns] for n in range(0, len(tiles), panels.columns)]
        luma = tf.concat([tf.concat([tf.reshape(one, (height, width)) for one, _ in line], 1) for line in lines], 0)
        chroma = tf.concat([tf.concat([one for _, one in line], 1) for line in lines], 0)
        return pack_nv12(tf.cast(luma, tf.uint8), tf.cast(chroma, tf.uint8), panels.size)

    def _add_box(self, luma: Any, chroma: Any, box_luma: Any, box_chroma: Any, top: Any, left: Any) -> tuple[Any, Any]:
        """Blend a box onto a panel at a chroma sample."""
        width, height = self._panels.panel
        keep, add = _pad_coefficients(box_luma, (height, width), 2 * top, 2 * left)
        blended_luma = _blend(tf.reshape(luma, (height, width)), keep, add[0])
        keep, add = _pad_coefficients(box_chroma, (height // 2, width // 2), top, left)
        blended_chroma = _blend(chroma, keep[..., None], tf.transpose(add, (1, 2, 0)))
        return tf.reshape(blended_luma, (height // 2, 2, width // 2, 2)), blended_chroma


def _stack_coefficients(box: CaptionBox) -> _Coefficients:
    """Return ``keep`` and ``add`` of a box, and its place.

    For luma float32 ``(2, 2h, 2w)``, for Cb and Cr ``(3, h, w)``; then its top and left, in chroma samples.
    """
    blend = box.blend_op
    return (
        np.stack([blend.luma_keep, blend.luma_add]).astype(np.float32),
        np.stack([blend.chroma_keep, blend.blue_add, blend.red_add]).astype(np.float32),
        np.array(box.top, np.int32),
        np.array(box.left, np.int32),
    )


def _pad_coefficients(coefficients: Any, size: tuple[int, int], top: Any, left: Any) -> tuple[Any, Any]:
    """Return ``keep`` and ``add`` for a whole plane.

    They do not change the plane outside the caption box.
    """
    height, width = tf.shape(coefficients)[1], tf.shape(coefficients)[2]
    around = [[top, size[0] - top - height], [left, size[1] - left - width]]
    return tf.pad(coefficients[0], around, constant_values=_FIXED_POINT_ONE), tf.pad(
        coefficients[1:], [[0, 0], *around]
    )


def _blend(samples: Any, keep: Any, add: Any) -> Any:
    return tf.floor((samples * keep + add) * (1 / _FIXED_POINT_ONE))
