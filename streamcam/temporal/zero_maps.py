"""Maps without anything to draw, and what to do about them."""

from __future__ import annotations

from ..frames import Attribution, MapKind

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
