"""``duplicate``: the same image several times in one data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, StageEvidence
from ..matching import find_copies, fingerprints, is_mirrored

_SEQUENCE = 0.9
_WHOLE = 0.8
"""Least share of repeated images that counts as all: images without contrast are not compared."""


def check_duplicate(evidence: Evidence) -> Iterator[Fault]:
    """Find copies within each data set, at its first stage."""
    for stage in evidence.first_stages():
        found = _without_sequences(stage, list(find_copies(stage.records)))
        if not found or (not stage.is_single_pass and _is_repeated(stage, found)):
            continue
        if _is_periodic(stage, found) or _is_oversampled(stage, found):
            continue  # repeated on purpose
        first, second = (stage.records[number] for number in found[0])
        names = f"{first.path} and {second.path}" if first.path and second.path else f"{first.index} and {second.index}"
        labels = sum(stage.records[a].label != stage.records[b].label for a, b in found)
        flipped = sum(is_mirrored(stage.records[a], stage.records[b]) for a, b in found)
        kind = "mirrored " if flipped == len(found) else ""
        copies = f"is a {kind}copy" if len(found) == 1 else f"are {kind}copies"
        some = f" ({flipped} mirrored)" if 0 < flipped < len(found) else ""
        contrary = f", {count_of(labels, 'copy', 'copies')} under another label" if labels else ""
        yield Fault(
            "duplicate",
            stage.name,
            f"{count_of(len(found), 'image')} of {len(stage.records)} compared "
            f"{copies} of another{some}, such as {names}{contrary}: remove copies before you split the data",
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


def _is_exact(stage: StageEvidence, earlier: int, later: int) -> bool:
    """Return True for equal pixels, labels and files."""
    one, two = stage.records[earlier], stage.records[later]
    if one.label != two.label or one.path != two.path:
        return False
    return one.thumbnail.shape == two.thumbnail.shape and np.array_equal(one.thumbnail, two.thumbnail)


def _is_periodic(stage: StageEvidence, found: list[tuple[int, int]]) -> bool:
    """Return True if all images come again in order, by ``repeat(3)``."""
    records = stage.records
    if not all(_is_exact(stage, *pair) for pair in found):
        return False
    distances = [records[later].index - records[earlier].index for earlier, later in found]
    period = min(distances)
    indices = {record.index for record in records}
    again = sum(record.index >= period and record.index - period in indices for record in records)
    if records[-1].index + 1 < (1 + _WHOLE) * period:
        return False  # a few images come again
    return period > 1 and all(one % period == 0 for one in distances) and len(found) >= _WHOLE * again > 0


def _is_oversampled(stage: StageEvidence, found: list[tuple[int, int]]) -> bool:
    """Return True if whole classes come again, others once."""
    if stage.split != "train" or not all(_is_exact(stage, *pair) for pair in found):
        return False
    occurrences: dict[int, dict[int, int]] = {}
    originals = {later: earlier for earlier, later in found}
    for number, record in enumerate(stage.records):
        if record.label is None:
            return False
        original = originals.get(number, number)
        of_class = occurrences.setdefault(record.label, {})
        of_class[original] = of_class.get(original, 0) + 1
    repeated = {label: counts for label, counts in occurrences.items() if max(counts.values()) > 1}
    for counts in repeated.values():
        numbers = np.array(list(counts.values()))
        if len(numbers) < 2 or numbers.max() < 3 or np.mean(numbers > 1) < _WHOLE:
            return False
    return 0 < len(repeated) < len(occurrences)
