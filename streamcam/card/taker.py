"""Frames on a card leave the decoder's memory, so that nothing depends on how many of them that has room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from av.video.frame import VideoFrame

from .. import cuda
from ..frames import Frame
from ..geometry import Size
from ..models.backend import tf
from .memory import cuda_context, in_one_piece, on, picture_of, tensors_of


class Taker:
    """Copies pictures out of the decoder's memory.

    Args:
        device: where they are, as from `choose_devices`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = cuda_context(device)
        self._copied = tf.function(_copied, reduce_retracing=True)

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames with pictures of their own, NV12 in one piece without gaps."""
        for frame in frames:
            yield replace(frame, picture=self._taken(frame.picture))

    def _taken(self, picture: VideoFrame) -> VideoFrame:
        cuda.settle()
        with on(self._device):
            whole = self._copied(*tensors_of(picture), (picture.width, picture.height))
            # It is finished on return, so that the decoder may use its memory again.
            taken = picture_of(whole, picture.width, self._cuda)
        taken.pts, taken.duration = picture.pts, picture.duration
        return taken


def _copied(luma: Any, chroma: Any, size: Size) -> Any:
    return in_one_piece(luma[:, : size[0]], chroma[:, : size[0] // 2], size)
