"""Drawing on pictures that lie on a card: what `streamcam.compose.Painter` draws, sample for sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from ..compose.caption import SMALLEST_PICTURE, Captions, Plate
from ..compose.glaze import paint_of_levels
from ..compose.painter import tagged
from ..compose.palette import codes
from ..compose.panels import panels_of
from ..compose.spread import block_weights, scaled_cells
from ..config import DrawOptions
from ..frames import Display, Explained, SourceInfo
from ..geometry import Geometry, Size
from ..models.backend import tf
from .memory import cuda_context, in_one_piece, on, picture_of, tensors_of

_ONE = 256
"""What is 1 in `streamcam.compose.planes.Paint`. Its integers are float32 here, which holds them and their products
exactly: TensorFlow computes with integers of 32 bits on the processor."""


class CardPainter:
    """Draws NV12 pictures on a device.

    Not thread-safe. Evidence is interpolated in one matrix product, which rounds a little differently: by a level of
    4096 here and there, and by up to four on cards that multiply in TF32 (Ampere and later).

    Args:
        options, info, geometry, detail, panels, display: as in `streamcam.compose.Painter`.
        device: where the pictures are, as from `choose_devices`.
    """

    def __init__(
        self,
        options: DrawOptions,
        info: SourceInfo,
        geometry: Geometry,
        *,
        detail: str,
        device: str,
        panels: int = 1,
        display: Display = "heat",
    ) -> None:
        self._device = device
        self._cuda = cuda_context(device)
        self._info, self._geometry = info, geometry
        self._signed = display == "signed"
        self._panels = panels_of(options, info, panels)
        table, self._lowest = paint_of_levels(options, info, display)
        self._table = table.astype(np.float32)
        self._captions: Captions | None = None
        if options.caption and min(info.width, info.height) >= SMALLEST_PICTURE:
            self._captions = Captions(info, self._panels.panel, detail, panels)
        self._graphs: dict[Size, Any] = {}

    @property
    def size(self) -> Size:
        """``(width, height)`` of the pictures drawn."""
        return self._panels.size

    def draw(self, item: Explained) -> VideoFrame:
        """Draws one frame.

        Args:
            item: a frame of this painter's source with evidence for each target; its picture is only read.

        Returns:
            A new picture of this painter's `size` on the device, drawn to its end, with its time and colour tags.
        """
        cells = [scaled_cells(one.heatmap, one.full_scale, signed=self._signed) for one in item.evidence]
        plates = [] if self._captions is None else [self._captions.plate(one, item.note) for one in item.evidence]
        place = (plates[0].top, plates[0].left) if plates else (0, 0)
        with on(self._device):
            luma, chroma = tensors_of(item.frame.picture)
            drawn = self._graph(cells[0].shape)
            whole = drawn(luma, chroma, np.stack(cells), [_raised(one) for one in plates], place)
            picture = picture_of(whole, self.size[0], self._cuda)
        return tagged(picture, item.frame, self._info)

    def _graph(self, cells: tuple[int, ...]) -> Any:
        size = cells[1], cells[0]
        if size not in self._graphs:
            rows, columns = block_weights(self._geometry, size)
            self._graphs[size] = tf.function(
                lambda luma, chroma, cells, plates, place: self._drawn(
                    luma, chroma, rows @ cells @ columns.T, plates, place
                ),
                reduce_retracing=True,
            )
        return self._graphs[size]

    def _drawn(self, luma: Any, chroma: Any, levels: Any, plates: list[tuple[Any, Any]], place: tuple[int, int]) -> Any:
        """All panels, as from `in_one_piece`.

        Args:
            luma: of the source, as from `tensors_of`.
            chroma: likewise.
            levels: float32 ``(targets, blocks down, blocks across)``, not rounded.
            plates: as from `_raised`, one a target or none.
            place: ``(top, left)`` of each plate in its panel, in chroma samples.
        """
        panels, (width, height) = self._panels, self._panels.panel
        # Luma as blocks of 2×2, so that what is painted on a block meets its four samples.
        luma = tf.reshape(tf.cast(luma[:, :width], tf.float32), (height // 2, 2, width // 2, 2))
        chroma = tf.cast(chroma[:, : width // 2], tf.float32)
        shown = [(luma, chroma)] * panels.plain
        # Rounded as `streamcam.compose.spread.Spread` does.
        whole = tf.clip_by_value(tf.cast(levels + 0.5, tf.int64), self._lowest, self._lowest + len(self._table) - 1)
        found = tf.gather(self._table, whole - self._lowest)
        for n in range(panels.drawn):
            keep, add, blue, red = tf.unstack(found[n], axis=-1)
            painted = _mixed(luma, keep[:, None, :, None], add[:, None, :, None])
            coloured = _mixed(chroma, keep[..., None], tf.stack([blue, red], axis=-1))
            shown.append(self._captioned(painted, coloured, *plates[n], place) if plates else (painted, coloured))
        black = [float(round(code)) for code in codes(np.zeros((1, 3)), self._info)[0]]
        empty = tf.fill(luma.shape, black[0]), tf.zeros_like(chroma) + black[1:]
        shown += [empty] * (len(panels.places) - len(shown))
        lines = [shown[n : n + panels.across] for n in range(0, len(shown), panels.across)]
        luma = tf.concat([tf.concat([tf.reshape(one, (height, width)) for one, _ in line], 1) for line in lines], 0)
        chroma = tf.concat([tf.concat([one for _, one in line], 1) for line in lines], 0)
        return in_one_piece(tf.cast(luma, tf.uint8), tf.cast(chroma, tf.uint8), panels.size)

    def _captioned(
        self, luma: Any, chroma: Any, on_luma: Any, on_chroma: Any, place: tuple[int, int]
    ) -> tuple[Any, Any]:
        """A panel with a plate on it."""
        width, height = self._panels.panel
        top, left = place
        keep, add = _widened(on_luma, (height, width), 2 * top, 2 * left)
        flat = _mixed(tf.reshape(luma, (height, width)), keep, add[0])
        keep, add = _widened(on_chroma, (height // 2, width // 2), top, left)
        coloured = _mixed(chroma, keep[..., None], tf.transpose(add, (1, 2, 0)))
        return tf.reshape(flat, (height // 2, 2, width // 2, 2)), coloured


def _raised(plate: Plate) -> tuple[Any, Any]:
    """``keep`` and ``add`` of a plate's luma, float32 ``(2, 2h, 2w)``, and of Cb and Cr, ``(3, h, w)``."""
    paint = plate.paint
    return (
        np.stack([paint.luma_keep, paint.luma_add]).astype(np.float32),
        np.stack([paint.chroma_keep, paint.blue_add, paint.red_add]).astype(np.float32),
    )


def _widened(paint: Any, size: tuple[int, int], top: int, left: int) -> tuple[Any, Any]:
    """``keep`` and ``add`` for a whole plane, which leave it as it is around the paint."""
    height, width = tf.shape(paint)[1], tf.shape(paint)[2]
    around = [[top, size[0] - top - height], [left, size[1] - left - width]]
    return tf.pad(paint[0], around, constant_values=_ONE), tf.pad(paint[1:], [[0, 0], *around])


def _mixed(samples: Any, keep: Any, add: Any) -> Any:
    return tf.floor((samples * keep + add) * (1 / _ONE))
