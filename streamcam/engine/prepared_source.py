"""The compiled method for one source, on each device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..frames import CaptionFacts
from ..geometry import Geometry
from ..models.load import ModelInfo
from ..models.targets import Target
from .compiled_method import INPUT_LAYER, Executable
from .runtime.background_xla import BackgroundXla
from .runtime.frozen_graph import CONCURRENT_BATCHES
from .runtime.replica import DevicePool, DeviceReplica


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSource:
    """The compiled method for one source.

    Attributes:
        geometry: how its frames are fitted into the model's input.
        all_replicas: the compiled method on each device, failed devices included.
        pool: the devices, and which of them have failed.
        notes: one-line announcements for the user.
        xla: compiles the method with XLA in the background; None where that does not apply.
    """

    geometry: Geometry
    all_replicas: tuple[DeviceReplica, ...]
    pool: DevicePool
    notes: tuple[str, ...] = ()
    xla: BackgroundXla | None = None

    def compile_now(self, *, always: bool = False) -> bool:
        """Compile the method with XLA; return True if it is used from now on.

        Args:
            always: use it even if it is no faster.
        """
        return self.xla is not None and self.xla.compile_now(always=always)

    @property
    def replicas(self) -> tuple[DeviceReplica, ...]:
        """The replicas on devices that have not failed."""
        return tuple(replica for replica in self.all_replicas if self.pool.is_active(replica.device))

    @property
    def executable(self) -> Executable:
        """The executable of the first device that has not failed."""
        return (self.replicas or self.all_replicas)[0].executable

    @property
    def concurrency(self) -> int:
        """Number of threads that keep a device busy."""
        return CONCURRENT_BATCHES

    @property
    def device(self) -> str:
        """The devices in use, as ``--device`` takes them."""
        return ",".join(replica.device for replica in self.replicas)

    def caption_facts(self, method: str, targets: Iterable[Target], model: ModelInfo) -> CaptionFacts:
        """Return what captions name: method, layer if it has one, targets, classes, guessed preprocessing."""
        layer = self.executable.layer
        names = tuple(target.label or target.kind for target in targets)
        guess = model.preprocess_summary if model.preprocess_guess else ""
        return CaptionFacts(method, "" if layer == INPUT_LAYER else layer, names, model.labels, guess)
