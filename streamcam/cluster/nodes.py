"""The nodes of a cluster, and the workers that they get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CPUS_PER_DRAWER = 4
"""CPUs of a node for each chunk that it draws and encodes at a time."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a worker: a GPU, or the CPU of a node without one.

    Attributes:
        node_id: Ray's name of the node.
        host: its host name, for messages.
        number: 0, 1, 2 … on the node.
        num_cpus, num_gpus: what the worker occupies.
    """

    node_id: str
    host: str
    number: int
    num_cpus: float
    num_gpus: int

    @property
    def num_drawers(self) -> int:
        """Chunks to draw and encode at a time."""
        return max(1, int(self.num_cpus) // CPUS_PER_DRAWER)


def find_slots(nodes: Iterable[Mapping[str, Any]], device: str) -> list[Slot]:
    """Return a slot for each device of the living nodes.

    Args:
        nodes: as from `ray.nodes`.
        device: as ``--device``: ``cpu`` ignores GPUs, ``gpu:0`` nodes without one.
    """
    slots = []
    for node in nodes:
        resources = node.get("Resources", {})
        cpus = float(resources.get("CPU", 0))
        gpus = 0 if device.startswith("cpu") else int(resources.get("GPU", 0))
        if not node.get("Alive") or cpus <= 0 or (device.startswith("gpu") and not gpus):
            continue
        share = cpus if not gpus else max(min(cpus, 1.0), cpus // gpus)
        count = max(1, min(gpus, int(cpus / share)))
        slots += [
            Slot(str(node["NodeID"]), str(node["NodeManagerHostname"]), number, share, min(gpus, 1))
            for number in range(count)
        ]
    return slots
