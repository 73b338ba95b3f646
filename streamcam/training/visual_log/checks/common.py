"""Words that several checks share."""

from __future__ import annotations

from ..evidence import Evidence, Expectation
from ..ranges import Range


def class_name(evidence: Evidence, label: int) -> str:
    """Return the name of a class, or its index."""
    if 0 <= label < len(evidence.class_names):
        return f"{str(evidence.class_names[label])[:40]} ({label})"
    return str(label)


def remedy_for(expectation: Expectation, found: Range) -> str:
    """Return what to do about values that do not fit a model; the same words in every check."""
    if expectation.scales_itself and found != "0..255":
        return "remove the normalisation from the pipeline"
    return "use the preprocessing of the model"


def plural(count: int) -> str:
    """Return ``has`` or ``have``."""
    return "has" if count == 1 else "have"
