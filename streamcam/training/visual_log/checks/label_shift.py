"""``label-shift``: labels that do not belong to their images.

The evidence: impossible indices, the labels of an earlier stage or of the files' folders, the predictions of a model,
and images whose look-alikes have the labels of their neighbours in the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....errors import count_of
from ..evidence import Evidence, Fault, ImageRecord, Predictions, StageEvidence
from ..matching import fingerprints, pair_records
from .class_folders import REMEDY, folders_that_differ, labels_against_folders
from .common import class_name

Indices: TypeAlias = NDArray[np.int64]

_MIN_IMAGES = 12
_MIN_ACCURACY, _MIN_CONFIDENCE = 0.6, 0.8
_MIN_CHANGED = 0.05
_MAX_SHIFT = 8
_MAX_CHANCE = 0.03


def check_label_shift(evidence: Evidence) -> Iterator[Fault]:
    """Find the first stages whose labels do not fit."""
    for chain in evidence.chains(references=True):
        faults = (
            fault
            for previous, stage in zip([None, *chain], chain, strict=False)
            for fault in (
                _by_index(stage, evidence, previous),
                None if previous is None else _by_stage(previous, stage, evidence),
                labels_against_folders(stage, evidence),
                _by_model(stage, evidence),
                _by_neighbors(stage),
            )
            if fault is not None
        )
        found = list(faults)[:1]
        if not found and chain[0].split == "validation":
            found = list(filter(None, [folders_that_differ(evidence)]))
        yield from found


def _by_index(stage: StageEvidence, evidence: Evidence, previous: StageEvidence | None) -> Fault | None:
    """Find indices that no class has."""
    if not stage.labels:
        return None
    least, most, classes = min(stage.labels), max(stage.labels), evidence.num_classes
    if classes and most >= classes:
        count = sum(number for label, number in stage.labels.items() if label >= classes)
        first = " and begin with 1: subtract 1" if least == 1 and most == classes else f"; {REMEDY}"
        return Fault(
            "label-shift",
            stage.name,
            f"labels reach {most}, but the indices of {count_of(classes, 'class', 'classes')} are 0 to "
            f"{classes - 1}{first}",
            stage.count if least == 1 and most == classes else count,
        )
    if not classes and (previous is None or 0 not in previous.labels) and _begins_with_one(stage):
        return Fault(
            "label-shift",
            stage.name,
            f"labels are 1 to {most}, and none is 0: Keras numbers classes from 0; subtract 1, unless a class 0 exists",
            stage.count,
        )
    if stage.odd_labels and not _is_other_coding(stage):
        return Fault(
            "label-shift",
            stage.name,
            f"{count_of(stage.odd_labels, 'label')} of {stage.count} {'is' if stage.odd_labels == 1 else 'are'} "
            f"negative or no whole number; {REMEDY}",
            stage.odd_labels,
        )
    return None


def _begins_with_one(stage: StageEvidence) -> bool:
    """Return True if labels are 1 to N, hardly by chance."""
    most, labelled = max(stage.labels), sum(stage.labels.values())
    if most < 2 or min(stage.labels) != 1 or len(stage.labels) != most or not stage.is_complete:
        return False
    is_whole = labelled >= _MIN_IMAGES and labelled > 0.98 * stage.count  # other labels are mixtures of classes
    return is_whole and min(stage.labels.values()) >= 3 and (most / (most + 1)) ** labelled < _MAX_CHANCE


def _is_other_coding(stage: StageEvidence) -> bool:
    """Return True for labels of -1 and 1, and for quantities."""
    if list(stage.labels) == [1] and stage.odd_labels > 0.1 * stage.count:
        return True
    return stage.odd_labels >= stage.count or (stage.odd_labels > stage.count / 2 and len(stage.labels) > 2)


def _by_stage(first: StageEvidence, second: StageEvidence, evidence: Evidence) -> Fault | None:
    """Find images whose label differs from that in the stage before."""
    pairs = pair_records(first, second)
    known = [
        (one, two)
        for one, two in zip(pairs.first, pairs.second, strict=True)
        if one.label is not None and two.label is not None
    ]
    if len(known) < 0.99 * sum(one.label is not None for one in pairs.first):
        return None  # some labels became mixtures of classes, as MixUp and CutMix make them
    if _is_relabelling([(int(one.label or 0), int(two.label or 0)) for one, two in known], first, second):
        return None
    changed = [(one, two) for one, two in known if one.label != two.label]
    changed = _without_mixtures(changed, pairs.first)
    if len(known) < 4 or len(changed) < max(2, _MIN_CHANGED * len(known)):
        return None
    (before, after), _ = Counter((one.label, two.label) for one, two in changed).most_common(1)[0]
    origin = "the folders of the files" if first.is_reference else f"stage {first.name}"
    return Fault(
        "label-shift",
        second.name,
        f"{count_of(len(changed), 'image')} of {len(known)} have another label than in {origin}, such as "
        f"{class_name(evidence, int(before or 0))} → {class_name(evidence, int(after or 0))}; {REMEDY}",
        len(changed),
        tuple(two.index for _, two in changed),
    )


def _is_relabelling(labels: Sequence[tuple[int, int]], first: StageEvidence, second: StageEvidence) -> bool:
    """Return True if classes were joined, or chosen and renumbered.

    Args:
        labels: of each image before and after.
        first: the stage before.
        second: the stage after.
    """
    counts = Counter(before for before, _ in labels)
    new = dict(labels)
    is_consistent = len(set(labels)) == len(new) and sum(count > 1 for count in counts.values()) > len(counts) / 2
    if not is_consistent:
        return False
    if len(set(new.values())) < len(new):
        return True
    ordered = [new[label] for label in sorted(new)]
    is_subset = set(first.labels) > set(new) and set(second.labels) == set(ordered)
    return is_subset and ordered == list(range(len(ordered)))


def _without_mixtures(
    changed: list[tuple[ImageRecord, ImageRecord]], originals: Sequence[ImageRecord]
) -> list[tuple[ImageRecord, ImageRecord]]:
    """Drop images that became more like another one, whose label they took."""
    if not changed:
        return []
    before = fingerprints(originals).luma.reshape(len(originals), -1)
    after = fingerprints([two for _, two in changed]).luma.reshape(len(changed), -1)
    similar = after @ before.T
    labels = np.array([-1 if one.label is None else one.label for one in originals])
    indices = np.array([one.index for one in originals])
    kept = []
    for (one, two), row in zip(changed, similar, strict=True):
        others = row[labels == two.label]
        if row[indices == one.index].max() > others.max(initial=-1.0) - 0.05:
            kept.append((one, two))
    return kept


def _by_model(stage: StageEvidence, evidence: Evidence) -> Fault | None:
    """Find labels that a permutation or a shift makes fit the predictions."""
    predictions = next((one for one in evidence.predictions if one.stage == stage.name), None)
    if predictions is None or predictions.probabilities.shape[1] != evidence.num_classes:
        return None
    labels, found = _labels_and_predictions(stage, predictions)
    if len(labels) < 8 or len(set(labels.tolist())) < 2:
        return None
    if evidence.num_classes == 2 and predictions.probabilities.max(1).mean() < _MIN_CONFIDENCE:
        return None  # an untrained model may separate two classes by chance
    own = float(np.mean(labels == found))
    permutation, permuted = _best_permutation(labels, found)
    if permuted >= max(_MIN_ACCURACY, own + 0.4):
        offset = {(own_label - label) % evidence.num_classes for label, own_label in permutation.items()}
        kind = f"shifted by {min(offset)}" if len(offset) == 1 else "in another order"
        return Fault(
            "label-shift",
            stage.name,
            f"the model agrees with {own:.0%} of the labels, and with {permuted:.0%} if classes are {kind}: labels and "
            f"model number the classes differently; {REMEDY}",
            int(np.sum(labels != found)),
        )
    return None


def _labels_and_predictions(stage: StageEvidence, predictions: Predictions) -> tuple[Indices, Indices]:
    labels = {sample.index: sample.label for sample in stage.samples}
    rows = [row for row, index in enumerate(predictions.indices) if labels.get(index) is not None]
    own = np.array([labels[predictions.indices[row]] for row in rows], np.int64)
    return own, predictions.probabilities[rows].argmax(1) if rows else np.zeros(0, np.int64)


def _best_permutation(labels: Indices, found: Indices) -> tuple[dict[int, int], float]:
    """Match each label with the class that is predicted for it most; each class once, the surest first."""
    counts = Counter(zip(labels.tolist(), found.tolist(), strict=True))
    permutation: dict[int, int] = {}
    right = 0
    for (label, predicted), count in counts.most_common():
        if label not in permutation and predicted not in permutation.values():
            permutation[label] = predicted
            right += count
    return permutation, right / max(len(labels), 1)


def _by_neighbors(stage: StageEvidence) -> Fault | None:
    """Find a shift of labels after which look-alikes share theirs.

    In shuffled data, the most similar image has the same label far more often than chance. If labels are shifted
    against images by one, this holds for the label of the neighbour instead.
    """
    records = [record for record in stage.records[:2048] if record.label is not None]
    if len(records) < 40 or len({record.label for record in records}) < 2 or not _is_consecutive(records):
        return None
    prints = fingerprints(records)
    flat = prints.coarse
    means = np.array([record.thumbnail[..., :3].astype(np.float32).mean((0, 1)).mean() for record in records])
    distance = 2 - 2 * (flat @ flat.T) + ((means[:, None] - means[None]) / max(float(means.std()), 1e-9)) ** 2
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    labels = np.array([record.label for record in records])
    agreement = {}
    inner = np.arange(_MAX_SHIFT, len(labels) - _MAX_SHIFT)
    inner = inner[(nearest[inner] >= _MAX_SHIFT) & (nearest[inner] < len(labels) - _MAX_SHIFT)]
    if len(inner) < 30:
        return None
    for shift in range(-_MAX_SHIFT, _MAX_SHIFT + 1):
        agreement[shift] = float(np.mean(labels[inner + shift] == labels[nearest[inner] + shift]))
    best = max(agreement, key=lambda one: agreement[one])
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    chance = float((share**2).sum())
    error = np.sqrt(chance * (1 - chance) / len(inner))
    if best == 0 or agreement[best] < 0.6 or agreement[best] - agreement[0] < max(0.25, 6 * error):
        return None
    if agreement[0] > chance + 4 * error:
        return None
    return Fault(
        "label-shift",
        stage.name,
        f"images that look alike share a label in {agreement[0]:.0%} of cases, but in {agreement[best]:.0%} if labels "
        f"are moved by {abs(best)}: labels are shifted against the images; {REMEDY}",
        stage.count,
    )


def _is_consecutive(records: Sequence[ImageRecord]) -> bool:
    return records[-1].index - records[0].index == len(records) - 1
