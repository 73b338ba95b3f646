"""How many inputs this machine can work on at once: by cores, memory and devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ..frames import SourceInfo
from .cpus import cpu_count
from .memory import available_memory_bytes

VIDEO_CORES, VIDEO_CORES_BESIDE_GPU = 4, 3
"""Cores that a video keeps busy for each of its encoders. One drawing thread and one encoder limit 1080p to 110 fps on
16 cores, at 40 ms of CPU time a frame; without the model on the CPU at 26 ms."""

SHORT_FRAMES = 8
"""Most frames of a clip that is a batch for the model: its stages run one after another, on one core. Two such clips at
once on 2 cores are 1.3 times as fast, two images 1.7 times, and two longer videos not at all."""

_FRAMES_HELD, _FRAMES_HELD_PER_CORE = 80, 3
"""Frames that a pipeline holds: in its queues and batches, and in decoder and encoder, whose threads have one each."""

_QUEUE_BYTES = 1 << 30
"""Most bytes of the frames in the queues and batches of a pipeline; see `streamcam.stages.MAX_QUEUE_BYTES`."""

_BASE_BYTES = 64 << 20
_MEMORY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Demand:
    """The needs of an input in progress.

    Attributes:
        cores: cores that it keeps busy.
        memory_bytes: memory of its frames.
    """

    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """The cores and memory that inputs share.

    Attributes:
        cores: CPU cores that this process may use.
        memory_bytes: memory for frames.
        has_gpu: the model runs on GPUs.
    """

    cores: int
    memory_bytes: int
    has_gpu: bool = False

    @classmethod
    def of_this_machine(cls, devices: Sequence[str]) -> Self:
        """Return the capacity of this machine now.

        Args:
            devices: the devices of the model.
        """
        memory_bytes = int(_MEMORY_SHARE * available_memory_bytes())
        return cls(cpu_count(), memory_bytes, has_gpu=any(name.startswith("gpu") for name in devices))

    def expected_demand(self, *, is_image: bool) -> Demand:
        """Return the demand of an input that is not open yet; its memory is unknown."""
        return Demand(1 if is_image else self._video_cores, 0)

    def demand(self, info: SourceInfo, *, encoders: int = 1, encoder_bytes: int = 0) -> Demand:
        """Return the demand of an open input.

        Args:
            info: the input.
            encoders: encoders of its output that work at once.
            encoder_bytes: memory of several encoders, and of the frames that wait for them.
        """
        is_short = info.is_image or (info.num_frames is not None and info.num_frames <= SHORT_FRAMES)
        if info.on_gpu:  # its frames are in the memory of the GPU, beside the model
            return Demand(self.cores, 0)
        frames = info.num_frames or 0 if is_short else _FRAMES_HELD
        queues = min(frames * info.frame_bytes, _QUEUE_BYTES)
        codecs = 4 if is_short else _FRAMES_HELD_PER_CORE * self.cores
        memory_bytes = _BASE_BYTES + queues + codecs * info.frame_bytes
        cores = 1 if is_short else min(self.cores, encoders * self._video_cores)
        return Demand(cores, memory_bytes + encoder_bytes)

    def has_room(self, running: Sequence[Demand], expected: Demand) -> bool:
        """Return True if one more input can begin; the first one always can.

        Args:
            running: inputs in progress.
            expected: cores of the next one. Its memory is taken to be that of the largest in progress.
        """
        if not running:
            return True
        cores = sum(one.cores for one in running) + expected.cores
        largest = max(one.memory_bytes for one in (*running, expected))
        memory_bytes = sum(one.memory_bytes for one in running) + largest
        return cores <= self.cores and memory_bytes <= self.memory_bytes

    @property
    def _video_cores(self) -> int:
        return min(self.cores, VIDEO_CORES_BESIDE_GPU if self.has_gpu else VIDEO_CORES)
