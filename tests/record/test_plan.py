"""Records whose chunks were planned: written in order, or each on its own."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.errors import StreamcamError
from streamcam.frames import ExplainedFrame, FrameRange
from streamcam.record import Manifest, PackedChunk, RecordFolder, RecordStore, StoredFrame, pack_chunk
from streamcam.record import writer as writer_module

from .made_up import make_items, make_manifest, write_record

LENGTHS = (5, 3, 4)


def make_plan(items: list[ExplainedFrame]) -> tuple[FrameRange, ...]:
    starts = np.cumsum((0, *LENGTHS)).tolist()
    return tuple(
        FrameRange(
            number=number,
            first_index=start,
            num_frames=end - start,
            first_pts=items[start].frame.pts,
            end_pts=items[end].frame.pts if end < len(items) else None,
        )
        for number, (start, end) in enumerate(itertools.pairwise(starts))
    )


def pack(items: list[ExplainedFrame], manifest: Manifest, number: int) -> PackedChunk:
    chunk, stored = (manifest.plan or ())[number], list[StoredFrame]()
    for item in items[chunk.first_index : chunk.first_index + chunk.num_frames]:
        stored.append(StoredFrame.of(item, stored[-1] if stored else None))
    return pack_chunk(number, stored, manifest)


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir()}


def test_chunks_end_as_planned(tmp_path: Path) -> None:
    items = make_items(12, held=(1, 2, 6))
    record = streamcam.open_record(write_record(tmp_path / "r", items, plan=make_plan(items)))
    assert record.manifest.plan == make_plan(items)
    assert [chunk.entry.num_frames for chunk in record.chunks] == list(LENGTHS)
    assert (record.complete, record.manifest.missing) == (True, ())


def test_chunks_in_any_order_are_the_same_record(tmp_path: Path) -> None:
    """As tasks of a cluster finish: what is done from the beginning on can be read at any time."""
    items = make_items(12, held=(1, 2, 6))
    expected = write_record(tmp_path / "expected", items, plan=make_plan(items))
    manifest = make_manifest(plan=make_plan(items))
    folder = RecordFolder(tmp_path / "r", overwrite=False)
    store = RecordStore(folder, manifest)
    for number, num_readable in ((2, 0), (0, 5), (1, 12)):
        store.add(pack(items, manifest, number))
        record = streamcam.open_record(tmp_path / "r")
        assert (len(record), len(list(record)), record.complete) == (num_readable, num_readable, False)
    assert store.manifest.missing == ()
    store.complete()
    folder.close()
    assert contents(tmp_path / "r") == contents(expected)


def test_maps_come_back_as_they_are_passed_on(tmp_path: Path) -> None:
    """A video is drawn from the same maps, whether they come from the model or from the record."""
    items, passed = make_items(6, held=(3,), factor=1e-3), list[ExplainedFrame]()
    folder = RecordFolder(tmp_path / "r", overwrite=False)
    with writer_module.RecordWriter(folder, make_manifest()) as writer:
        passed = list(writer.record(items))
    for frame, item in zip(streamcam.open_record(tmp_path / "r"), passed, strict=True):
        for one, other in zip(frame.attributions, item.attributions, strict=True):
            np.testing.assert_array_equal(one.heatmap, other.heatmap)
    again = write_record(tmp_path / "again", passed)
    assert contents(again) == contents(tmp_path / "r")  # and they are stored as they were


def other_start(items: list[ExplainedFrame]) -> tuple[FrameRange, ...]:
    first, second, third = make_plan(items)
    return first, replace(second, first_pts=second.first_pts + 1), third


PLANS: dict[str, tuple[Any, list[int]]] = {
    "another frame at the start of a chunk": (other_start, [5, 6, 1]),
    "too few frames planned": (lambda items: make_plan(items)[:2], [5, 3, 4]),
    "too many frames planned": (
        lambda items: (*make_plan(items), FrameRange(3, 12, 4, 12 * 3600 + 7)),
        list(LENGTHS),
    ),
}


@pytest.mark.parametrize("case", PLANS)
def test_frames_that_are_not_the_planned_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 6)
    items = make_items(12)
    plan, lengths = PLANS[case]
    record = streamcam.open_record(write_record(tmp_path / "r", items, plan=plan(items)))
    assert (record.manifest.plan, record.complete) == (None, True)
    assert [chunk.entry.num_frames for chunk in record.chunks] == lengths


def test_maps_too_large_for_the_plan_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = make_items(12)
    size = sum(one.heatmap.nbytes for one in items[0].attributions)
    monkeypatch.setattr(writer_module, "MAX_PLANNED_BYTES", 3 * size)
    monkeypatch.setattr(writer_module, "MAX_CHUNK_BYTES", 2 * size)
    record = streamcam.open_record(write_record(tmp_path / "r", items, plan=make_plan(items)))
    assert record.manifest.plan is None
    assert [chunk.entry.num_frames for chunk in record.chunks] == [4, 2, 2, 2, 2]


def test_an_older_layout_is_one_line(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", make_items(2)) / "manifest.json"
    values = json.loads(path.read_text())
    del values["plan"]
    path.write_text(json.dumps(values))
    with pytest.raises(StreamcamError, match=r"format version 0 \(an older layout\); expected 1; use the version"):
        streamcam.open_record(tmp_path / "r")
