"""Records: read what was written, with and without streamcam; refuse what is no record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.errors import StreamcamError
from streamcam.frames import MAP_KINDS
from streamcam.geometry import Geometry
from streamcam.record import writer as writer_module
from streamcam.record.manifest import Manifest, SourceIdentity

from .made_up import TARGETS, make_items, make_manifest, write_record


def test_a_record_gives_back_every_frame(tmp_path: Path) -> None:
    items = make_items(9, held=(1, 2, 5))
    record = streamcam.open_record(write_record(tmp_path / "r", items))
    assert (len(record), record.complete, record.targets) == (9, True, TARGETS)
    assert record.chunks[0].maps.shape == (6, 2, 3, 5)  # held frames store no map
    for frame, item in zip(record, items, strict=True):
        assert (frame.index, frame.pts, frame.held) == (item.frame.index, item.frame.pts, item.held)
        assert (frame.top, dict(frame.quality_metrics)) == (item.top, dict(item.quality_metrics))
        for one, other in zip(frame.attributions, item.attributions, strict=True):
            assert (one.label, one.class_index, one.score, one.probability) == (
                other.label, other.class_index, other.score, other.probability,
            )  # fmt: skip
            np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=2**-11, atol=1e-6)
    stacked = np.concatenate(list(record.maps(1)))
    np.testing.assert_array_equal(stacked, [frame.attributions[1].heatmap for frame in record])


@pytest.mark.parametrize("factor", [0.0, 1e-38, 1e-30, 1e-6, 1.0, 1e5, 1e30, 1e37])
def test_no_map_overflows_or_vanishes(tmp_path: Path, factor: float) -> None:
    items = make_items(4, factor=factor)
    for frame, item in zip(streamcam.open_record(write_record(tmp_path / "r", items)), items, strict=True):
        for one, other in zip(frame.attributions, item.attributions, strict=True):
            limit = float(np.abs(other.heatmap).max()) * 2**-11
            assert np.abs(one.heatmap.astype(np.float64) - other.heatmap).max() <= limit


def test_the_largest_float32_survives(tmp_path: Path) -> None:
    items = make_items(1)
    items[0].attributions[0].heatmap[:] = np.finfo(np.float32).max
    (frame,) = streamcam.open_record(write_record(tmp_path / "r", items))
    np.testing.assert_allclose(frame.attributions[0].heatmap, np.finfo(np.float32).max, rtol=2**-10)


@pytest.mark.parametrize("map_kind", MAP_KINDS)
def test_statistics_are_those_of_the_frame(tmp_path: Path, map_kind: str) -> None:
    """Crop: the model sees the middle half of the frame; one cell has all evidence of each sign."""
    items = make_items(1)
    heatmap = items[0].attributions[0].heatmap
    heatmap[:] = 0
    heatmap[1, 4] = -8.0
    heatmap[2, 0] = 2.0
    geometry = Geometry((400, 200), (200, 200), (400, 200), (-100, 0))
    columns = streamcam.open_record(write_record(tmp_path / "r", items, geometry=geometry, map_kind=map_kind)).table()
    cells = {"x": [0.25 + 0.5 * 0.1, 0.25 + 0.5 * 0.9], "y": [2.5 / 3, 1.5 / 3]}
    weights = [1.0, 0.0] if map_kind in ("heat", "pixels") else [0.2, 0.8]
    assert columns["centroid_x"][0] == pytest.approx(np.dot(cells["x"], weights), abs=1e-4)
    assert columns["centroid_y"][0] == pytest.approx(np.dot(cells["y"], weights), abs=1e-4)
    assert columns["area"][0] == pytest.approx(1 / 15, abs=1e-4)


def test_chunks_are_bounded_and_need_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 4)
    items = make_items(10, held=(3, 4, 5, 6))
    record = streamcam.open_record(write_record(tmp_path / "r", items))
    entries = [chunk.entry for chunk in record.chunks]
    assert [(one.num_frames, one.num_maps, one.first_index) for one in entries] == [(4, 3, 0), (4, 2, 4), (2, 2, 8)]
    assert [one.pts for one in entries] == [(7, 10807), (14407, 25207), (28807, 32407)]
    assert [frame.held for frame in record] == [item.held for item in items]
    np.testing.assert_array_equal(
        record.chunks[1].frames()[0].attributions[0].heatmap, record.chunks[0].frames()[2].attributions[0].heatmap
    )
    assert record.table()["chunk"] == [0] * 8 + [1] * 8 + [2] * 4


def test_maps_bound_a_chunk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = make_items(6)
    monkeypatch.setattr(writer_module, "MAX_CHUNK_BYTES", 2 * sum(a.heatmap.nbytes for a in items[0].attributions))
    record = streamcam.open_record(write_record(tmp_path / "r", items))
    assert [chunk.entry.num_frames for chunk in record.chunks] == [2, 2, 2]


NUMPY_ONLY = """
import json, pathlib, sys
sys.modules["streamcam"] = None
import numpy as np
folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
found = []
for chunk in manifest["chunks"]:
    maps = np.load(folder / chunk["maps"])
    for line in (folder / chunk["frames"]).read_text().splitlines():
        row = json.loads(line)
        found.append((maps[row["map"], row["target"]].astype(np.float32) * row["scale"]).tolist())
print(json.dumps(found))
"""


def test_numpy_and_json_read_it(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", make_items(5, held=(2,)))
    command = [sys.executable, "-I", "-c", NUMPY_ONLY, str(path)]
    read = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout)
    expected = [one.heatmap for frame in streamcam.open_record(path) for one in frame.attributions]
    np.testing.assert_array_equal(np.array(read, np.float32), expected)


PANDAS_ONLY = """
import pathlib, sys
sys.modules["streamcam"] = None
import pandas
print(pandas.read_json(pathlib.Path(sys.argv[1]) / "frames-0000.jsonl", lines=True).to_json(orient="split"))
"""


def test_pandas_reads_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = write_record(tmp_path / "r", make_items(5))
    command = [sys.executable, "-I", "-c", PANDAS_ONLY, str(path)]
    alone = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout)
    table = pandas.DataFrame(streamcam.open_record(path).table())
    assert alone["columns"] == [name for name in table.columns if name != "chunk"]
    logits = [row[alone["columns"].index("logit")] for row in alone["data"]]
    assert logits == pytest.approx(list(table["logit"]))
    assert list(table["target"]) == [0, 1] * 5


def test_the_manifest_names_the_source_without_secrets(tmp_path: Path) -> None:
    clip = tmp_path / "clip.bin"
    clip.write_bytes(bytes(3 << 20))
    manifest = make_manifest(str(clip))
    assert Manifest.from_json(manifest.to_json(), clip) == manifest
    assert (manifest.source.path, manifest.source.size) == (str(clip), 3 << 20)
    moved = clip.rename(tmp_path / "moved.bin")
    assert SourceIdentity.of(f"file://{moved}").is_same_file(manifest.source)
    with moved.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert not SourceIdentity.of(str(moved)).is_same_file(manifest.source)
    url = SourceIdentity.of("http://user:secret@host/clip.mp4?token=secret")
    assert (url.size, url.sha256) == (None, None)
    assert "secret" not in url.path


def test_an_interrupted_record_is_whole_but_not_complete(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path / "r", [*make_items(3), Interrupt()], complete=False)  # type: ignore[list-item]
    record = streamcam.open_record(tmp_path / "r")
    assert (len(record), record.complete, len(list(record))) == (3, False, 3)
    assert "incomplete" in repr(record)


class Interrupt:
    @property
    def held(self) -> object:
        raise KeyboardInterrupt


def damage_version(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"version": 7, "chunks": "other"}))


def flip_last_bit(path: Path) -> None:
    """The size, the type and the shape stay those of the manifest."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_names(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["chunks"][0]["number"] = "../../etc"
    (path / "manifest.json").write_text(json.dumps(manifest))


DAMAGES = {
    "version": (damage_version, "has format version 7; expected 1; use the version"),
    "names": (damage_names, "is damaged: its manifest"),
    "manifest": (lambda path: (path / "manifest.json").write_text("{"), "is damaged: its manifest"),
    "other json": (lambda path: (path / "manifest.json").write_text("[]"), "is damaged: its manifest"),
    "missing": (lambda path: (path / "maps-0000.npy").unlink(), "is incomplete: maps-0000.npy is missing"),
    "cut": (lambda path: (path / "frames-0000.jsonl").write_text("{"), "is damaged: frames-0000.jsonl"),
    "table": (
        lambda path: (path / "frames-0000.jsonl").write_bytes(
            (path / "frames-0000.jsonl").read_bytes().replace(b"cat", b"dog")
        ),
        "is damaged: frames-0000.jsonl",
    ),
    "map value": (lambda path: flip_last_bit(path / "maps-0000.npy"), "is damaged: maps-0000.npy"),
    "maps": (
        lambda path: (path / "maps-0000.npy").write_bytes(bytes((path / "maps-0000.npy").stat().st_size)),
        "is damaged: maps-0000.npy",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write_record(tmp_path / "r", make_items(3))
    DAMAGES[damage][0](path)
    with pytest.raises(StreamcamError) as caught:
        list(streamcam.open_record(path))
    assert DAMAGES[damage][1] in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG_VALUES: dict[str, list[Any]] = {
    "source.path": [5, None],
    "source.size": ["1", True],
    "source": [[]],
    "time_base": [1, "0", "1/0", "1e999999999", "x"],
    "model": [{}, []],
    "model.labels": ["cat", [1]],
    "map_kind": ["zz", None],
    "targets": [[], ["top"], "top", [1, 2]],
    "geometry": [{}, []],
    "geometry.input": [[0, 0], [224], [224, 224, 224], [224, "x"], [224.5, 224]],
    "geometry.scaled": [[0, 224]],
    "geometry.offset": [[9999, -5], [0, -224], [224, 0]],
    "run": [[], {}],
    "run.targets": [[], ["top"], 5],
    "run.batch": ["8"],
    "job": [[], {}],
    "job.draw": [[], None],
    "job.sink": [{}, []],
    "job.sink.path": ["", "..", 5],
    "versions": [[], {"numpy": 2}],
    "plan": [[{}], 5, [{"number": 1, "first_index": 0, "num_frames": 3, "first_pts": 7, "end_pts": None}]],
    "complete": [1],
    "output": [1],
    "chunks.0.num_frames": [0, -1, "3", 3.0],
    "chunks.0.num_maps": [0],
    "chunks.0.pts": [[7], 7],
    "chunks.0.first_index": [-1],
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_wrong_values_in_a_manifest_are_one_line(tmp_path: Path, name: str) -> None:
    path = write_record(tmp_path / "r", make_items(3))
    text = (path / "manifest.json").read_text()
    *parents, last = [int(one) if one.isdigit() else one for one in name.split(".")]
    for value in WRONG_VALUES[name]:
        manifest = part = json.loads(text)
        for key in parents:
            part = part[key]
        assert json.dumps(part[last]) != json.dumps(value)
        part[last] = value
        (path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(StreamcamError) as caught:
            streamcam.open_record(path)
        assert str(caught.value) == f"the record {path} is damaged: its manifest cannot be read; record it again"


@pytest.mark.parametrize("num_frames", [2, 4])
def test_another_number_of_frames_than_in_the_table(tmp_path: Path, num_frames: int) -> None:
    path = write_record(tmp_path / "r", make_items(3))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["chunks"][0]["num_frames"] = num_frames
    (path / "manifest.json").write_text(json.dumps(manifest))
    record = streamcam.open_record(path)
    for read in (record.check_tables, record.table, lambda: list(record), lambda: list(record.maps())):
        with pytest.raises(StreamcamError, match=r"is damaged: frames-0000\.jsonl"):
            read()


def test_a_target_that_is_not_recorded(tmp_path: Path) -> None:
    record = streamcam.open_record(write_record(tmp_path / "r", make_items(3)))
    with pytest.raises(IndexError, match="no target 5; expected 0 to 1"):
        record.maps(5)


def test_no_record_is_one_line_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StreamcamError, match=r"is no record; expected a folder with manifest\.json"):
        streamcam.open_record(tmp_path)
    write_record(tmp_path / "out.mp4.streamcam", make_items(1))
    with pytest.raises(StreamcamError, match=r"did you mean '.*out\.mp4\.streamcam'"):
        streamcam.open_record(tmp_path / "out.mp4")
