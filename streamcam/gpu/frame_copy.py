"""Frames on a card leave the decoder's memory, so that nothing depends on how many of them that has room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from av.video.frame import VideoFrame

from ..frames import Frame
from ..geometry import Size
from ..media import cuda
from ..tf import tf
from .dlpack import cuda_context, on_device, pack_nv12, to_tensors, to_video_frame


class SurfaceCopier:
    """Copies pictures out of the decoder's memory.

    Args:
        device: where they are, as from `choose_devices`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = cuda_context(device)
        self._copy = tf.function(_copy_surface, reduce_retracing=True)

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames with pictures of their own, NV12 in one piece without gaps."""
        for frame in frames:
            yield replace(frame, video_frame=self._copy_frame(frame.video_frame))

    def _copy_frame(self, video_frame: VideoFrame) -> VideoFrame:
        cuda.synchronize()
        with on_device(self._device):
            nv12 = self._copy(*to_tensors(video_frame), (video_frame.width, video_frame.height))
            # It is finished on return, so that the decoder may use its memory again.
            copy = to_video_frame(nv12, video_frame.width, self._cuda)
        copy.pts, copy.duration = video_frame.pts, video_frame.duration
        return copy


def _copy_surface(luma: Any, chroma: Any, size: Size) -> Any:
    return pack_nv12(luma[:, : size[0]], chroma[:, : size[0] // 2], size)
