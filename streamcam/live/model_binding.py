"""How the model explains the frames of one kind of camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DeviceError
from ..frames import CaptionFacts, ColorSpec, MapKind
from ..geometry import Geometry, Size

if TYPE_CHECKING:
    from ..engine.explainer import FrameExplainer
    from ..engine.runtime.replica import DeviceReplica

_WEIGHT = 0.1
"""Weight of the newest call in the running mean of call times."""


class BatchSizes:
    """The compiled method for one input size: a replica on each device, for each of several batch sizes.

    Attributes:
        explainer: the model with its method.
        size: ``(width, height)`` of the model's input.
    """

    def __init__(self, explainer: FrameExplainer, size: Size) -> None:
        self.explainer = explainer
        self.size = size
        self._replicas: dict[int, tuple[DeviceReplica, ...]] = {}
        self._call_seconds: dict[int, float] = {}

    def with_explainer(self, explainer: FrameExplainer) -> BatchSizes:
        """Return the same replicas for an explainer that shares them."""
        other = BatchSizes(explainer, self.size)
        other._replicas, other._call_seconds = self._replicas, self._call_seconds
        return other

    @property
    def known(self) -> tuple[int, ...]:
        """The batch sizes, ascending."""
        return tuple(sorted(self._replicas))

    def add(self, batch: int, replicas: tuple[DeviceReplica, ...]) -> None:
        """Add the replicas for batches of one size."""
        self._replicas = {**self._replicas, batch: replicas}

    def size_for(self, waiting: int, seconds: float) -> int:
        """Return how many of the waiting frames to explain at once.

        Args:
            waiting: frames that wait.
            seconds: longest time of a call; a single frame may take longer.
        """
        known = sorted(self._replicas)
        fitting = [n for n in known if n <= waiting and (n == known[0] or self._call_seconds.get(n, 0.0) <= seconds)]
        return min(waiting, max(fitting, default=known[0]))

    def replica_on(self, device: str, count: int) -> DeviceReplica:
        """Return a device's replica with the smallest batch that holds ``count`` frames.

        Raises:
            DeviceError: there is none on that device.
        """
        sizes = sorted(self._replicas)
        batch = next((n for n in sizes if n >= count), sizes[-1])
        for replica in self._replicas[batch]:
            if replica.device == device:
                return replica
        raise DeviceError(f"the model is not loaded on {device}")

    def record_time(self, count: int, seconds: float) -> None:
        """Record how long a call with ``count`` frames took."""
        mean = self._call_seconds.get(count, seconds)
        self._call_seconds[count] = mean + (seconds - mean) * _WEIGHT


@dataclass(frozen=True, slots=True, eq=False)
class ModelBinding:
    """How the model explains the frames of one kind of source.

    Attributes:
        batch_sizes: the compiled method.
        geometry: how frames are fitted into the model's input.
        color: how the frames' samples encode colour.
        caption_facts: what captions name.
        map_kind: how the method's maps are drawn.
        num_targets: number of maps a frame has.
    """

    batch_sizes: BatchSizes
    geometry: Geometry
    color: ColorSpec
    caption_facts: CaptionFacts
    map_kind: MapKind
    num_targets: int
