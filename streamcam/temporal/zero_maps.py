"""Maps without anything to draw, and what to do about them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..frames import Attribution, MapKind

NUM_TO_REPORT = 10
"""Zero maps after which a run of unknown length reports them."""

_HINTS = {
    "gradcam": "--method hirescam or layercam shows it",
    "gradcam++": "--method hirescam or layercam shows it",
    "guided-gradcam": "--method guided-backprop shows the pixels",
    "layercam": "--method hirescam or gradient-x-input shows it",
    "hirescam": "--method gradient-x-input shows both signs",
    "occlusion": "--method gradient-x-input shows both signs",
}
"""Hints by method. Maps of these methods are zero or negative if all evidence is against the target."""


def is_zero(attribution: Attribution, map_kind: MapKind) -> bool:
    """Return True for a map of which nothing is drawn: zeros, or for ``heat`` no positive value."""
    heatmap = attribution.heatmap
    return bool(heatmap.max(initial=0.0) <= 0) if map_kind == "heat" else not heatmap.any()


def zero_map_note(method: str, count: int, total: int, noun: str = "frame") -> str:
    """Return the note on zero maps of a run; empty if there are none.

    Args:
        method: name of the method.
        count: explained frames with a zero map.
        total: explained frames.
        noun: what a map is of, in the singular.
    """
    if not count:
        return ""
    cause = " (all evidence is negative)" if method in _HINTS else ""
    hint = _HINTS.get(method, "another --layer or --target may show more")
    return f"map is zero in {count} of {total} {noun}{'' if total == 1 else 's'}{cause}; {hint}"


class ZeroMapCounter:
    """Count the zero maps of a run, and report them once.

    The length of the run is unknown. The report comes with the tenth zero map, or at the end of the run. Callable from
    any thread.

    Args:
        report: takes the note, one line.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._method = ""
        self._num_zero = self._num_explained = 0
        self._is_reported = False

    def count(self, attributions: Sequence[Attribution], map_kind: MapKind, method: str) -> bool:
        """Count an explained frame.

        Args:
            attributions: its maps; none if the model failed on it.
            map_kind: how they are shown.
            method: name of the method; another one than before starts the counts again.

        Returns:
            True if nothing is drawn for one of the targets.
        """
        is_zero_map = any(is_zero(one, map_kind) for one in attributions)
        with self._lock:
            if method != self._method:
                self._method, self._num_zero, self._num_explained = method, 0, 0
            self._num_explained += 1
            self._num_zero += is_zero_map
            is_due = self._num_zero >= NUM_TO_REPORT
        if is_due:
            self.close()
        return is_zero_map

    def close(self) -> None:
        """Report what was counted, unless that was done before."""
        with self._lock:
            note = "" if self._is_reported else zero_map_note(self._method, self._num_zero, self._num_explained)
            self._is_reported = self._is_reported or bool(note)
        if note:
            self._report(note)
