"""``bgr``: red and blue are exchanged.

The evidence is a reference: the stage before, the file on disk, or a trained model that is far surer of the other
order. Colors alone are no evidence: a blue orange is a possible image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, FloatArray, ImageRecord, Predictions, StageEvidence
from ..matching import SIDE, Pairs, pair_records, resize_nearest
from ..ranges import CAFFE_MEANS

_MIN_CHROMA = 0.04
"""Least deviation of red minus blue, relative to that of the image: grayscale is no evidence."""

_MOST, _MIN_PART = 0.7, 0.25
_DECIDED, _UNCHANGED = 0.3, 0.9
"""Least correlation of colors of an image in which they are not exchanged, and did not change."""

_MAX_CONTRAST_RATIO = 2.0
"""Largest change of the contrast of one channel against another: normalisation by channel needs 1.1."""

_MIN_SAMPLES = 8
_MIN_RECALL = 0.6


def check_bgr(evidence: Evidence) -> Iterator[Fault]:
    """Find the first stages in which red and blue are exchanged."""
    for chain in evidence.chains(references=True):
        fault = next(filter(None, (_between(*pair, evidence) for pair in itertools.pairwise(chain))), None)
        if fault is None:
            last = [one for one in chain if not one.is_reference][-1:]
            fault = next(filter(None, (_by_model(stage, evidence) for stage in last)), None)
        if fault is not None:
            yield fault


def _between(first: StageEvidence, second: StageEvidence, evidence: Evidence) -> Fault | None:
    if len(first.low) < 3 or len(second.low) < 3:
        return None
    pairs = pair_records(first, second)
    if second.not_finite[0] > len(second.not_finite[1]):
        return None  # more than are known by index: no color is left to compare
    broken = set(second.not_finite[1])
    kept = [number for number, two in enumerate(pairs.second) if two.index not in broken]
    pairs = Pairs([pairs.first[n] for n in kept], [pairs.second[n] for n in kept], pairs.known_by)
    colors = [_color_relation(one, two) for one, two in zip(pairs.first, pairs.second, strict=True)]
    known = [relation for relation in colors if relation is not None]
    swapped = [number for number, relation in enumerate(colors) if relation is not None and relation < 0]
    wants_bgr = evidence.expectation is not None and evidence.expectation.is_bgr
    if wants_bgr and known and not swapped and _subtracts_means(pairs, list(range(len(pairs))), is_swapped=False):
        words = f"{evidence.expectation.name} expects blue, green, red"  # type: ignore[union-attr]
        return Fault(
            "bgr",
            second.name,
            f"{words}, but the channels are red, green, blue; use its preprocess_input",
            second.count,
        )
    if len(swapped) < max(1, min(2, len(known)), 0.05 * len(known)):
        return None
    others = [relation for relation in known if relation >= 0]
    # Where colors change otherwise too, as by a random hue, some images seem exchanged by chance.
    decided = [relation for relation in others if relation > _DECIDED]
    are_most = len(swapped) >= max(_MOST * (len(swapped) + len(decided)), _MIN_PART * len(known))
    if not are_most and np.mean(np.array(others) > _UNCHANGED) < _MOST:
        return None
    if _subtracts_means(pairs, swapped, is_swapped=True):
        return None  # the preprocessing of ResNet50 and VGG
    origin = "the file" if first.is_reference else f"stage {first.name}"
    return Fault(
        "bgr",
        second.name,
        f"red and blue are exchanged in {count_of(len(swapped), 'image')} of {len(known)} with color, compared with "
        f"{origin}: blue, green, red (as from cv2.imread) is taken for red, green, blue; use cv2.cvtColor(image, "
        "cv2.COLOR_BGR2RGB)",
        second.count if len(swapped) == len(known) else len(swapped),
        tuple(pairs.second[number].index for number in swapped),
    )


def _by_model(stage: StageEvidence, evidence: Evidence) -> Fault | None:
    for predictions in evidence.predictions:
        if predictions.stage == stage.name and _prefers_swapped(predictions, stage):
            return Fault(
                "bgr",
                stage.name,
                "the model is clearly surer of the samples if red and blue are exchanged: the channels seem to be in "
                "the order blue, green, red (as from cv2.imread); use cv2.cvtColor(image, cv2.COLOR_BGR2RGB)",
                stage.count,
            )
    return None


def _prefers_swapped(predictions: Predictions, stage: StageEvidence) -> bool:
    """Return True if a competent model prefers the other order."""
    if predictions.swapped is None or len(predictions.indices) < _MIN_SAMPLES:
        return False
    direct, swapped = predictions.probabilities, predictions.swapped
    labels = {one.index: one.label for one in stage.samples}
    own = [labels.get(index) for index in predictions.indices]
    if all(label is not None and label < direct.shape[1] for label in own) and len(set(own)) > 1:
        rows, columns = np.arange(len(own)), np.array(own, np.int64)
        right = swapped.argmax(1) == columns
        recall = [float(right[columns == label].mean()) for label in set(columns.tolist())]
        if np.mean(recall) >= _MIN_RECALL:
            return _is_clearly_larger(swapped[rows, columns], direct[rows, columns])
        if max(columns) > direct.shape[1] // 10:
            return False  # they are the classes of the model, which does not recognise them
    # Only a model that distinguishes the images is a witness: an untrained one answers with one class.
    _, counts = np.unique(swapped.argmax(1), return_counts=True)
    if np.median(swapped.max(1)) < 0.5 or counts.max() > 0.6 * counts.sum():
        return False
    return _is_clearly_larger(swapped.max(1), direct.max(1))


def _is_clearly_larger(first: FloatArray, second: FloatArray) -> bool:
    """Return True if nearly all probabilities are larger."""
    gain = np.log(np.maximum(first, 1e-6)) - np.log(np.maximum(second, 1e-6))
    error = gain.std() / np.sqrt(len(gain)) + 1e-3
    return bool(gain.mean() > 0.3 and gain.mean() / error > 4 and (gain > 0).mean() >= 0.75)


def _color_relation(first: ImageRecord, second: ImageRecord) -> float | None:
    """Return the correlation of colors: -1 if exchanged, 0 if unclear.

    Returns None without color, or if the images do not fit.
    """
    if min(first.thumbnail.shape[2], second.thumbnail.shape[2]) < 3:
        return None
    one, two = _rgb(first), _rgb(second)
    chroma = one[..., 0] - one[..., 2]
    if chroma.std() < _MIN_CHROMA * max(one.std(), 1e-9):
        return None
    flips = (two, two[:, ::-1], two[::-1], two[::-1, ::-1])
    two = max(flips, key=lambda flip: _correlation(one.mean(2), flip.mean(2)))
    if _correlation(one.mean(2), two.mean(2)) < 0.5:
        return None  # turned, cropped or inverted in between
    relation = _correlation(chroma, two[..., 0] - two[..., 2])
    if relation >= -0.6:
        return max(relation, 0.0)
    exchanged = two[..., ::-1]
    if _correlation(one, exchanged) < max(0.7, _correlation(one, two) + 0.01):
        return 0.0
    # Everything else is equal: green against the others, and the contrast of the channels.
    greens = [image[..., 1] - (image[..., 0] + image[..., 2]) / 2 for image in (one, two)]
    if greens[0].std() >= _MIN_CHROMA * one.std() and _correlation(*greens) < 0.5:
        return 0.0
    gains = exchanged.std((0, 1)) / np.maximum(one.std((0, 1)), 1e-9)
    return -1.0 if gains.max() <= _MAX_CONTRAST_RATIO * gains.min() else 0.0


def _subtracts_means(pairs: Pairs, numbers: list[int], *, is_swapped: bool) -> bool:
    """Return True if the means of `keras.applications` were subtracted."""
    offsets = []
    for number in numbers[:32]:
        if min(pairs.first[number].thumbnail.shape[2], pairs.second[number].thumbnail.shape[2]) < 3:
            continue
        one, two = _rgb(pairs.first[number]), _rgb(pairs.second[number])
        difference = (one[..., ::-1] if is_swapped else one) - two
        offsets.append(difference.mean((0, 1)))
    if not offsets:
        return False
    means = np.array(CAFFE_MEANS if is_swapped else CAFFE_MEANS[::-1])
    return bool(np.all(np.abs(np.median(offsets, axis=0) - means) < 8))


def _rgb(record: ImageRecord) -> FloatArray:
    return resize_nearest(record.thumbnail.astype(np.float32), SIDE)[..., :3]


def _correlation(one: FloatArray, two: FloatArray) -> float:
    if one.ndim == 3:  # each channel may be normalised on its own
        one, two = one - one.mean((0, 1)), two - two.mean((0, 1))
    else:
        one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-9))
