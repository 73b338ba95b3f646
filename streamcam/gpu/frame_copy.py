"""Copy frames out of the decoder's small surface pool within GPU memory."""

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
    """Copy frames out of the decoder's surface pool.

    Args:
        device: where the frames are, as from `resolve_devices`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = cuda_context(device)
        self._copy = tf.function(_copy_surface, reduce_retracing=True)

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames in newly allocated memory, contiguous NV12."""
        for frame in frames:
            yield replace(frame, video_frame=self._copy_frame(frame.video_frame))

    def _copy_frame(self, video_frame: VideoFrame) -> VideoFrame:
        cuda.synchronize()
        with on_device(self._device):
            nv12 = self._copy(*to_tensors(video_frame), (video_frame.width, video_frame.height))
            # The copy is complete on return: the decoder may reuse its surface.
            copy = to_video_frame(nv12, video_frame.width, self._cuda)
        copy.pts, copy.duration = video_frame.pts, video_frame.duration
        return copy


def _copy_surface(luma: Any, chroma: Any, size: Size) -> Any:
    return pack_nv12(luma[:, : size[0]], chroma[:, : size[0] // 2], size)
