"""Moving the index to the front: the same media, every offset right."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from streamcam.sinks import mp4 as boxes
from tests.media_helpers import boxes as kinds
from tests.media_helpers import frame_times, packets_of, transcode


def test_index_moves_and_nothing_else_changes(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "c.mp4"
    copy.write_bytes(clip.read_bytes())
    assert kinds(copy).index("moov") > kinds(copy).index("mdat")
    boxes.faststart(copy)
    assert kinds(copy).index("moov") < kinds(copy).index("mdat")
    assert copy.stat().st_size == clip.stat().st_size
    for kind in ("video", "audio"):
        assert packets_of(copy, kind) == packets_of(clip, kind)
    assert frame_times(copy) == frame_times(clip)


def test_index_in_front_stays(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "c.mp4"
    copy.write_bytes(clip.read_bytes())
    boxes.faststart(copy)
    once = copy.read_bytes()
    boxes.faststart(copy)
    assert copy.read_bytes() == once


def test_wide_offsets(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    at = data.index(b"stco")
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    moov = bytearray(b"\x00\x00\x00\x18moov\x00\x00\x00\x10trak\x00\x00\x00\x08free")
    wide = bytes(4) + count.to_bytes(4, "big") + b"".join((5 << 32 | i).to_bytes(8, "big") for i in range(count))
    table = (len(wide) + 8).to_bytes(4, "big") + b"co64" + wide
    for kind in (b"stbl", b"minf", b"mdia", b"trak"):
        table = (len(table) + 8).to_bytes(4, "big") + kind + table
    moov = bytearray((len(table) + 8).to_bytes(4, "big") + b"moov" + table)
    path = tmp_path / "w.mp4"
    path.write_bytes(b"\x00\x00\x00\x0cftypisom" + b"\x00\x00\x00\x0amdat\x01\x02" + bytes(moov))
    boxes.faststart(path)
    result = path.read_bytes()
    start = result.index(b"co64") + 12
    assert int.from_bytes(result[start : start + 8], "big") == (5 << 32) + len(moov)
    assert kinds(path) == ["ftyp", "moov", "mdat"]


def test_failure_leaves_the_file_as_it_was(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "c.mp4"
    copy.write_bytes(clip.read_bytes())

    def fail_disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(boxes, "_copy_packets", fail_disk_full)
    with pytest.raises(OSError, match="No space left"):
        boxes.faststart(copy)
    assert copy.read_bytes() == clip.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.mp4"]


def test_file_without_index(tmp_path: Path) -> None:
    (tmp_path / "n.mp4").write_bytes(b"\x00\x00\x00\x0cftypisom")
    with pytest.raises(ValueError, match="no complete index"):
        boxes.faststart(tmp_path / "n.mp4")


def test_file_that_keeps_its_index_at_the_end_is_announced(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(boxes, "_copy_packets", fail_disk_full)
    _, writer = transcode(clip, tmp_path / "o.mp4")
    assert writer.notes == [f"{tmp_path / 'o.mp4'} keeps its index at the end: No space left on device"]
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50


def test_torn_end_is_cut_to_the_last_whole_fragment(tmp_path: Path) -> None:
    def box(kind: bytes, length: int) -> bytes:
        return (8 + length).to_bytes(4, "big") + kind + bytes(length)

    whole = box(b"ftyp", 4) + box(b"moov", 20) + box(b"moof", 12) + box(b"mdat", 30)
    path = tmp_path / "t.mp4"
    for torn in (box(b"moof", 12)[:9], box(b"moof", 12), box(b"moof", 12) + box(b"mdat", 30)[:20], b"", b"\x00\x00"):
        path.write_bytes(whole + torn)
        boxes.truncate_to_last_fragment(path)
        assert path.read_bytes() == whole
