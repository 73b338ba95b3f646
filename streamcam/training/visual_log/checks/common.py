"""Words that several checks share."""

from __future__ import annotations

from ..evidence import Evidence


def class_name(evidence: Evidence, label: int) -> str:
    """Return the name of a class, or its index."""
    if 0 <= label < len(evidence.class_names):
        return f"{str(evidence.class_names[label])[:40]} ({label})"
    return str(label)


def plural(count: int) -> str:
    """Return ``has`` or ``have``."""
    return "has" if count == 1 else "have"
