"""What the user typed → inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcam.cli.inputs import expand_inputs, output_paths
from streamcam.errors import OptionError, SourceError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.MKV", "c.txt", "d.png", "b.gradcam.mp4", "e.mov"):
        (tmp_path / name).touch()
    (tmp_path / "inner.mp4").mkdir()
    return tmp_path


def test_a_folder_gives_its_media_and_not_our_own_results(folder: Path) -> None:
    found = expand_inputs([str(folder)], ["gradcam"])
    assert [Path(p).name for p in found] == ["a.MKV", "b.mp4", "d.png", "e.mov"]


def test_a_glob_gives_what_it_matches(folder: Path) -> None:
    assert expand_inputs(["*.m[po]?"], ["gradcam"]) == ["b.gradcam.mp4", "b.mp4", "e.mov"]


def test_each_input_once_and_urls_as_they_are(folder: Path) -> None:
    given = ["b.mp4", "http://example.com/x.mp4?y=*", "b.mp4", "missing.mp4"]
    assert expand_inputs(given, ["gradcam"]) == ["b.mp4", "http://example.com/x.mp4?y=*", "missing.mp4"]


def test_a_file_whose_name_looks_like_a_glob(folder: Path) -> None:
    (folder / "odd[1].mp4").touch()
    assert expand_inputs(["odd[1].mp4"], ["gradcam"]) == ["odd[1].mp4"]


@pytest.mark.parametrize("argument", ["*.avi", "empty"])
def test_nothing_there_is_said(folder: Path, argument: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(SourceError, match="no"):
        expand_inputs([argument], ["gradcam"])


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["dir/a.mp4"], ["a.gradcam.mp4"]),
        (["a.webm", "b.gif", "c.JPG"], ["a.gradcam.mp4", "b.gradcam.mp4", "c.gradcam.png"]),
        (["a.mp4", "a.mov", "a.png"], ["a.mp4.gradcam.mp4", "a.mov.gradcam.mp4", "a.gradcam.png"]),
        (["http://user:secret@host/clips/day%201.mp4?x=1"], ["day 1.gradcam.mp4"]),
        (["http://host"], ["host.gradcam.mp4"]),
    ],
)
def test_default_names(inputs: list[str], expected: list[str]) -> None:
    assert [str(path) for path in output_paths(inputs, None, "gradcam")] == expected


def test_output_is_a_file_for_one_and_a_folder_for_several(folder: Path) -> None:
    assert output_paths(["a.mp4"], "x.mkv", "gradcam") == [Path("x.mkv")]
    assert output_paths(["a.mp4"], str(folder), "gradcam") == [folder / "a.gradcam.mp4"]
    assert output_paths(["a.mp4", "b.mp4"], f"{folder}/new/", "gradcam") == [
        folder / f"new/{n}.gradcam.mp4" for n in "ab"
    ]
    with pytest.raises(OptionError, match="2 inputs"):
        output_paths(["a.mp4", "b.mp4"], "x.mp4", "gradcam")


def test_two_inputs_never_become_one_file() -> None:
    with pytest.raises(OptionError, match="2 inputs would become"):
        output_paths(["x/a.mp4", "y/a.mp4"], None, "gradcam")
