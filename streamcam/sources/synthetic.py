"""A generated moving image, the same one every time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..frames import Frame, SourceInfo
from ..geometry import Size

_FPS = 25
_GRAIN_STD = 2.0
"""Standard deviation of each frame's own noise, in codes: a camera's noise causes most of an encoder's work."""


class SyntheticSource:
    """Drifting clouds with the spectrum of natural images, at 25 fps.

    A camera's noise is added.

    Args:
        size: ``(width, height)``, even.
        num_frames: how many.

    Attributes:
        info: as of any source.
    """

    def __init__(self, size: Size, num_frames: int) -> None:
        self.info = SourceInfo(
            name=f"synthetic {size[0]}x{size[1]}",
            width=size[0],
            height=size[1],
            pixel_format="yuv420p",
            time_base=Fraction(1, _FPS),
            average_fps=Fraction(_FPS),
            num_frames=num_frames,
            duration_seconds=num_frames / _FPS,
        )
        self._num_frames = num_frames

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames without ``model_input``."""
        random = np.random.default_rng(0)
        width, height = self.info.width, self.info.height
        half = width // 2, height // 2
        back = [_clouds(random, *size, spread) for size, spread in (((width, height), 40), (half, 12), (half, 12))]
        front = [np.flip(plane, 1) for plane in back]
        grain = random.normal(0, _GRAIN_STD, (height, width)).astype(np.float32)
        for index in range(self._num_frames):
            frame = VideoFrame(width, height, self.info.pixel_format)
            for number, plane in enumerate(frame.planes):
                step = 2 if number == 0 else 1
                drawn = np.roll(back[number], (step * index, 2 * step * index), (0, 1))
                rows, columns = (slice(extent // 4, extent * 3 // 4) for extent in drawn.shape)
                drawn[rows, columns] = np.roll(front[number], (-step * index, step * index), (0, 1))[rows, columns]
                if number == 0:
                    drawn += np.roll(grain, tuple(random.integers(0, (height, width))), (0, 1))
                target = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
                target[:, : plane.width] = np.clip(drawn, 16, 235)
            frame.pts, frame.time_base, frame.duration = index, self.info.time_base, 1
            yield Frame(index, index, frame)


def _clouds(random: np.random.Generator, width: int, height: int, spread: float) -> NDArray[np.float32]:
    """Noise whose amplitude falls with frequency, ``float32 (height, width)`` around 128.

    It repeats seamlessly.
    """
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) / frequency, (height, width))
    clouds: NDArray[np.float32] = (128 + spread * noise / noise.std()).astype(np.float32)
    return clouds
