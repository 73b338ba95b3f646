"""Snapshots that were taken from the page, for as long as they are fetched."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

import numpy as np

from ..status import Snapshot

_KEPT = 16


class Snapshots:
    """The last few. Callable from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()
        self._taken = 0
        self._lock = threading.Lock()

    def keep(self, snapshot: Snapshot) -> str:
        """Keeps one, lets the oldest go where there are too many, and returns its name."""
        with self._lock:
            self._taken += 1
            name = f"{snapshot.camera}-{self._taken}"
            self._kept[name] = snapshot
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Snapshot | None:
        """The one of that name, None where it is gone."""
        return self._kept.get(name)


def npy_of(snapshot: Snapshot) -> bytes | None:
    """Its maps as a ``.npy`` file; None where it has none."""
    if snapshot.maps is None:
        return None
    file = io.BytesIO()
    np.save(file, snapshot.maps)
    return file.getvalue()
