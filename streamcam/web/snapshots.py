"""Recent snapshots, kept for download."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

import numpy as np

from ..live.status import Snapshot

_MAX_SNAPSHOTS = 16


class SnapshotStore:
    """The newest snapshots. Callable from any thread."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    def add(self, snapshot: Snapshot) -> str:
        """Keep a snapshot and return its name; drop the oldest beyond the limit."""
        with self._lock:
            self._count += 1
            name = f"{snapshot.camera}-{self._count}"
            self._snapshots[name] = snapshot
            while len(self._snapshots) > _MAX_SNAPSHOTS:
                self._snapshots.popitem(last=False)
        return name

    def get(self, name: str) -> Snapshot | None:
        """Return the snapshot of that name; None if it was dropped."""
        return self._snapshots.get(name)


def to_npy(snapshot: Snapshot) -> bytes | None:
    """Return the maps of a snapshot as a ``.npy`` file; None if it has none."""
    if snapshot.maps is None:
        return None
    file = io.BytesIO()
    np.save(file, snapshot.maps)
    return file.getvalue()
