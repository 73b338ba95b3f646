"""Compare images by their thumbnails: which are copies, and which are the same image in two stages.

Thumbnails are compared after their mean is subtracted and their standard deviation divided out, so that normalisation,
brightness and contrast do not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .evidence import FloatArray, ImageRecord, StageEvidence

SIDE = 32
_COARSE = 8
_MIN_ENERGY = 1e-6
_BLOCK = 512
_COPY, _COPY_DETAIL = 0.98, 0.95
_DETAIL_SHARE = 0.02
"""Least share of the variance in detail: below, only exact equality counts as a copy."""
_SAME = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprints:
    """Comparable forms of images.

    Attributes:
        coarse: unit vectors of the whole thumbnails, ``(N, values)``.
        detail: unit vectors of the thumbnails without their means over blocks of 4x4, ``(N, values)``.
        detail_share: share of the variance that is detail.
        is_flat: True where the image has no contrast.
        luma: thumbnails ``(N, 32, 32)``, mean 0 and norm 1.
    """

    coarse: FloatArray
    detail: FloatArray
    detail_share: FloatArray
    is_flat: NDArray[np.bool_]
    luma: FloatArray

    def __len__(self) -> int:
        return len(self.coarse)


def fingerprints(records: Sequence[ImageRecord]) -> Fingerprints:
    """Return the comparable forms of images."""
    count = len(records)
    luma = np.zeros((count, SIDE, SIDE), np.float32)
    color = np.zeros((count, SIDE, SIDE, 3), np.float32)
    for number, record in enumerate(records):
        thumbnail = resize_nearest(record.thumbnail.astype(np.float32))
        luma[number] = thumbnail[..., :3].mean(2)
        color[number] = thumbnail[..., :3] if thumbnail.shape[2] >= 3 else thumbnail[..., :1]
    scale = np.abs(color).max(initial=1e-12, axis=(1, 2, 3), keepdims=True)
    color = (color - color.mean((1, 2), keepdims=True)) / scale
    blocks = color.reshape(count, _COARSE, SIDE // _COARSE, _COARSE, SIDE // _COARSE, 3)
    detail = (blocks - blocks.mean((2, 4), keepdims=True)).reshape(count, SIDE * SIDE * 3)
    coarse = color.reshape(count, SIDE * SIDE * 3)
    energy, fine = (coarse**2).sum(1), (detail**2).sum(1)
    luma -= luma.mean((1, 2), keepdims=True)
    return Fingerprints(
        coarse=_unit(coarse),
        detail=_unit(detail),
        detail_share=fine / np.maximum(energy, 1e-12),
        is_flat=energy < _MIN_ENERGY * SIDE**2,
        luma=_unit(luma.reshape(count, SIDE * SIDE)).reshape(count, SIDE, SIDE),
    )


def flat_share(record: ImageRecord) -> float:
    """Return the share of equal neighbours: large in graphics."""
    luma = record.thumbnail[..., :3].astype(np.float32).mean(2)
    span = float(luma.max() - luma.min())
    if span <= 0 or min(luma.shape) < 2:
        return 1.0
    rows, columns = np.abs(np.diff(luma, axis=0))[:, :-1], np.abs(np.diff(luma, axis=1))[:-1]
    return float(np.mean((rows < 0.005 * span) & (columns < 0.005 * span)))


def find_copies(
    records: Sequence[ImageRecord], others: Sequence[ImageRecord] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield pairs of copies, perhaps mirrored, resized or compressed again.

    Args:
        records: the images.
        others: search each of these in ``records``; None searches within ``records`` for pairs ``(earlier, later)``.

    Yields:
        Positions in ``records`` and in ``others`` (or ``records``): the best match of each of ``others``.
    """
    own = fingerprints(records)
    second = own if others is None else fingerprints(others)
    second_records = records if others is None else others
    mirrored = fingerprints([_mirror(record) for record in second_records])
    blocks, mirrored_blocks = _blocks(own), _blocks(mirrored)
    for begin in range(0, len(second), _BLOCK):
        rows = second.coarse[begin : begin + _BLOCK] @ own.coarse.T
        turned = mirrored_blocks[begin : begin + _BLOCK] @ blocks.T
        if others is None:
            is_earlier = np.arange(len(own))[None] < begin + np.arange(len(rows))[:, None]
            rows, turned = np.where(is_earlier, rows, -1), np.where(is_earlier, turned, -1)
        for row in range(len(rows)):
            number = begin + row
            for similar, prints in ((rows[row], second), (turned[row], mirrored)):
                candidates = np.flatnonzero(similar >= _COPY)[:64]
                changed = second_records[number] if prints is second else _mirror(second_records[number])
                match = next(
                    (int(one) for one in candidates if _is_copy(own, int(one), records, prints, number, changed)), -1
                )
                if match >= 0:
                    yield match, number
                    break


def is_mirrored(first: ImageRecord, second: ImageRecord) -> bool:
    """Return True if a copy fits better mirrored."""
    prints = fingerprints([first, second, _mirror(second)]).coarse
    return float(prints[0] @ prints[2]) > float(prints[0] @ prints[1])


def _mirror(record: ImageRecord) -> ImageRecord:
    return dataclasses.replace(record, thumbnail=record.thumbnail[:, ::-1])


def _blocks(prints: Fingerprints) -> FloatArray:
    """Return means over blocks of 4x4 pixels, as unit vectors: quick to compare."""
    colors = prints.coarse.reshape(len(prints), _COARSE, SIDE // _COARSE, _COARSE, SIDE // _COARSE, 3)
    return _unit(colors.mean((2, 4)).reshape(len(prints), _COARSE * _COARSE * 3))


def _is_copy(
    own: Fingerprints,
    first: int,
    records: Sequence[ImageRecord],
    second: Fingerprints,
    other: int,
    record: ImageRecord,
) -> bool:
    if own.is_flat[first] or second.is_flat[other]:
        return False
    if float(own.coarse[first] @ second.coarse[other]) < _COPY:
        return False
    one, two = records[first].thumbnail, record.thumbnail
    if one.shape == two.shape and np.array_equal(one, two):
        return True
    share = min(own.detail_share[first], second.detail_share[other])
    if share < _DETAIL_SHARE or min(*one.shape[:2], *two.shape[:2]) < SIDE:
        return False
    return float(own.detail[first] @ second.detail[other]) >= _COPY_DETAIL


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Records of the same images in two stages.

    Attributes:
        first, second: records of both stages, in the same order.
        known_by: ``order``, ``content``, or empty if the identity is unknown.
    """

    first: Sequence[ImageRecord]
    second: Sequence[ImageRecord]
    known_by: str = ""

    def __len__(self) -> int:
        return len(self.first)


def pair_records(first: StageEvidence, second: StageEvidence, limit: int = 512) -> Pairs:
    """Find which records of two stages are of the same image.

    The order counts if the contents at equal positions are alike. Otherwise images are matched by content, which
    needs images that are nearly unchanged.

    Args:
        first: a stage.
        second: a later stage of the same pipeline.
        limit: most records to compare.
    """
    own = {record.index: record for record in first.records[:limit]}
    common = [(own[record.index], record) for record in second.records if record.index in own][:limit]
    if common:
        ones, twos = [one for one, _ in common], [two for _, two in common]
        if _is_same_order(ones, twos, counts=(first.count, second.count)):
            return Pairs(ones, twos, "order")
    ones, twos = list(first.records[:limit]), list(second.records[:limit])
    matched = match_records(ones, twos)
    if matched:
        return Pairs([ones[i] for i, _ in matched], [twos[j] for _, j in matched], "content")
    return Pairs((), ())


def match_records(first: Sequence[ImageRecord], second: Sequence[ImageRecord]) -> list[tuple[int, int]]:
    """Match images by content: pairs of positions that are clearly each other's best match."""
    if not first or not second:
        return []
    own, other = fingerprints(first), fingerprints(second)
    similar = other.luma.reshape(len(other), SIDE * SIDE) @ own.luma.reshape(len(own), SIDE * SIDE).T
    similar[:, own.is_flat] = -1
    best = similar.argmax(1)
    found = []
    for number, candidate in enumerate(best):
        score = similar[number, candidate]
        rest = np.delete(similar[number], candidate)
        is_clear = score >= 0.9 and score - rest.max(initial=-1) > 0.02 and not other.is_flat[number]
        if is_clear and similar[:, candidate].argmax() == number:
            found.append((int(candidate), number))
    return found


def _is_same_order(first: Sequence[ImageRecord], second: Sequence[ImageRecord], counts: tuple[int, int]) -> bool:
    """Return True if images at equal positions seem the same."""
    own, other = fingerprints(first), fingerprints(second)
    similar = other.luma.reshape(len(other), SIDE * SIDE) @ own.luma.reshape(len(own), SIDE * SIDE).T
    if len(first) < 3:
        return counts[0] == counts[1]
    aligned = np.diagonal(similar)
    rest = similar[~np.eye(len(similar), dtype=bool)].reshape(len(similar), -1)
    # Rank of the image at the same position among all: 0.5 on average by chance.
    ranks = (rest < aligned[:, None]).mean(1)
    if np.median(ranks) > 0.9:
        return True
    elsewhere = (rest.max(1) > 0.97) & (aligned < 0.9)
    if elsewhere.mean() > 0.2:
        return False
    labels = [(one.label, two.label) for one, two in zip(first, second, strict=True)]
    known = [(one, two) for one, two in labels if one is not None and two is not None]
    if len(known) >= 8 and len({one for one, _ in known}) > 1:
        return float(np.mean([one == two for one, two in known])) > 0.95
    return counts[0] == counts[1]


def resize_nearest(image: FloatArray, side: int = SIDE) -> FloatArray:
    """Resize a thumbnail to a square by nearest neighbours."""
    rows = np.arange(side) * image.shape[0] // side
    columns = np.arange(side) * image.shape[1] // side
    resized: FloatArray = image[rows][:, columns]
    return resized


def _unit(rows: FloatArray) -> FloatArray:
    flat = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
    unit: FloatArray = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit.reshape(rows.shape)
