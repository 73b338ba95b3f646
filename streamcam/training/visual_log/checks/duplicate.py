"""``duplicate``: the same image several times in one data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, StageEvidence
from ..matching import find_copies, fingerprints

_SEQUENCE = 0.9


def check_duplicate(evidence: Evidence) -> Iterator[Fault]:
    """Find copies within each data set, at its first stage."""
    for stage in evidence.first_stages():
        found = _without_sequences(stage, list(find_copies(stage.records)))
        if not found or (not stage.is_single_pass and _is_repeated(stage, found)):
            continue
        first, second = (stage.records[number] for number in found[0])
        names = f"{first.path} and {second.path}" if first.path and second.path else f"{first.index} and {second.index}"
        labels = sum(stage.records[a].label != stage.records[b].label for a, b in found)
        contrary = f", {count_of(labels, 'copy', 'copies')} under another label" if labels else ""
        yield Fault(
            "duplicate",
            stage.name,
            f"{count_of(len(found), 'image')} of {len(stage.records)} compared "
            f"{'is a copy' if len(found) == 1 else 'are copies'} of another, such as {names}{contrary}: remove copies "
            "before you split the data",
            len(found),
            tuple(stage.records[later].index for _, later in found),
        )


def _without_sequences(stage: StageEvidence, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop frames of videos: nearly, but not exactly equal to the image just before."""
    if not found:
        return []
    records = stage.records
    prints = fingerprints(records)

    def is_frame(earlier: int, later: int) -> bool:
        one, two = records[earlier].thumbnail, records[later].thumbnail
        if one.shape == two.shape and np.array_equal(one, two):
            return False
        return float(prints.coarse[later] @ prints.coarse[later - 1]) >= _SEQUENCE

    return [pair for pair in found if not is_frame(*pair)]


def _is_repeated(stage: StageEvidence, found: list[tuple[int, int]]) -> bool:
    """Return True if the data may simply have passed more than once."""
    return len(found) > 0.4 * len(stage.records)
