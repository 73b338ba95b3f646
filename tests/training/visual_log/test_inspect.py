"""`streamcam inspect` and `process --inspect`: folders, functions, the page, errors."""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from streamcam.errors import SinkError
from streamcam.sinks import paths
from streamcam.training import VisualLog
from streamcam.training.visual_log import page
from tests.cli.runner import cli, one_line

from .pipelines import photos, scenes, write_folder


def inspected(*arguments: Any) -> dict[str, Any]:
    result = cli("inspect", *arguments, "--json", "-q")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def names(found: dict[str, Any]) -> set[str]:
    return {fault["name"] for fault in found["faults"]}


def test_a_folder_with_a_leak(tmp_path: Path) -> None:
    images, labels = scenes(16, 48, 48)
    write_folder(tmp_path / "data" / "train", images, labels)
    write_folder(tmp_path / "data" / "val", images[:4], np.arange(4))
    found = inspected(tmp_path / "data", "-o", tmp_path / "page.html")
    assert names(found) == {"leak"}
    assert {"name", "stage", "words", "count"} == set(found["faults"][0])
    assert [stage["name"] for stage in found["stages"]] == ["files", "validation files"]
    assert found["stages"][0]["labels"] == {"0": 4, "1": 4, "2": 4, "3": 4}
    assert (tmp_path / "page.html").exists()
    other = inspected(tmp_path / "data" / "train", "--validation", tmp_path / "data" / "val")
    assert names(other) == {"leak"}


def test_a_broken_file_is_a_note(tmp_path: Path) -> None:
    write_folder(tmp_path, *scenes(8, 48, 48))
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    result = cli("inspect", tmp_path)
    assert result.exit_code == 0
    assert "1 image cannot be read" in result.stderr
    assert re.search(r"^unreadable +files +1 +such as: \S*broken.jpg", result.stdout, re.MULTILINE)
    assert inspected(tmp_path)["unreadable"] == 1
    assert cli("inspect", tmp_path, "-q", "--fail", "-o", tmp_path / "page.html").exit_code == 1
    assert "1 file cannot be read" in (tmp_path / "page.html").read_text()


def test_only_broken_files(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    result = cli("inspect", tmp_path, "-q")
    assert (result.exit_code, "can be read; such as: " in one_line(result.stderr)) == (1, True)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    images, labels = scenes(8, 48, 48)
    write_folder(tmp_path, images, labels, names=["a", "b", "c", "d\udcff"])
    Image.fromarray(images[0]).save(tmp_path / "a" / "copy\udcff.png")
    (tmp_path / "a" / "broken\udcff.png").write_bytes(b"no image")
    result = cli("inspect", tmp_path, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "copy?.png" in result.stdout
    text = (tmp_path / "page.html").read_text()
    assert "copy?.png" in text
    assert "d?" in text


def test_a_page_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = VisualLog()
    log.record("a", scenes(4, 48, 48)[0])
    path = tmp_path / "page.html"
    temporary_copy = paths.temporary_copy

    def fail(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    @contextlib.contextmanager
    def full(target: Path) -> Iterator[Any]:
        with temporary_copy(target) as part:
            part.write(b"some")
            part.write = fail  # type: ignore[method-assign]
            yield part

    for before in (None, "old"):
        if before:
            path.write_text(before)
        with monkeypatch.context() as patch:
            patch.setattr(paths, "temporary_copy", full)
            with pytest.raises(SinkError, match=r"page.html cannot be written: No space left on device$"):
                log.save(path, overwrite=True)
        assert [one.read_text() for one in tmp_path.iterdir()] == ([before] if before else [])
    log.save(path, overwrite=True)
    assert path.read_text().endswith("</html>")


MODULE = """
import numpy as np
from tests.training.visual_log.pipelines import scenes

images, labels = scenes(16, 48, 64)

def arrays():
    return images, labels

def pair():
    return (images, labels), (images[:4], labels[:4])

def tapped(log):
    import tensorflow as tf
    data = tf.data.Dataset.from_tensor_slices((images, labels)).apply(log.tap("loaded"))
    return data.map(lambda x, y: (tf.image.resize(x, (48, 48))[..., ::-1], y)).batch(4)

def directory():
    import keras
    return keras.utils.image_dataset_from_directory("images", image_size=(48, 48), batch_size=4, verbose=False)

def endless():
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices(images).repeat()

def numbers():
    return iter([np.arange(3)])

def nothing():
    return iter([])

def broken():
    raise ValueError("no such disk")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"pipelines_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(
    ("function", "faults", "stages"),
    [
        ("arrays", set(), {"input": 16}),
        ("pair", {"leak"}, {"input": 16, "validation input": 4}),
        ("tapped", {"bgr", "aspect"}, {"loaded": 16, "input": 16}),
        ("endless", set(), {"input": 16}),
    ],
)
def test_a_function(module: str, function: str, faults: set[str], stages: dict[str, int]) -> None:
    found = inspected(f"{module}:{function}", "--limit", 40)
    assert names(found) == faults
    assert {stage["name"]: stage["count"] for stage in found["stages"]} == stages


def test_the_files_of_a_keras_directory_are_the_reference(tmp_path: Path, module: str) -> None:
    write_folder(tmp_path / "images", *scenes(16, 48, 96))
    assert names(inspected(f"{module}:directory")) == {"aspect"}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("numbers", r"a stage passed an array \(3,\) of int64; expected images"),
        ("nothing", r"contains no images"),
        ("broken", r"failed: ValueError: no such disk"),
        ("missing", r"has no function 'missing'"),
    ],
)
def test_a_function_that_fails(module: str, function: str, message: str) -> None:
    result = cli("inspect", f"{module}:{function}", "-q")
    assert result.exit_code in (1, 2)
    assert re.search(message, one_line(result.stderr))


def test_bad_arguments(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", *scenes(4, 48, 48))
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.html").write_text("mine")
    for arguments, code, message in [
        (("no-such-folder",), 1, "no folder no-such-folder"),
        ((tmp_path / "empty",), 1, "contains no images"),
        ((tmp_path / "data", "-o", "page.png"), 2, "expected a file that ends in .html"),
        ((tmp_path / "data", "-o", tmp_path / "there.html"), 1, "exists"),
        ((tmp_path / "data", "--samples", 0), 2, "invalid --samples 0"),
        ((tmp_path / "data", "--limit", 0), 2, "invalid --limit 0; expected 1 to 1000000"),
        ((tmp_path / "data", "--validation", "nowhere"), 1, "no folder nowhere"),
        ((tmp_path / "data", "--model", "no-such-model"), 1, "unknown --model 'no-such-model'"),
    ]:
        result = cli("inspect", *arguments, "-q")
        assert (result.exit_code, message in one_line(result.stderr)) == (code, True), result.stderr
    assert (tmp_path / "there.html").read_text() == "mine"
    assert cli("inspect", tmp_path / "data", "-q", "-o", tmp_path / "there.html", "--overwrite").exit_code == 0


def test_fail_is_for_ci(tmp_path: Path) -> None:
    images, labels = scenes(8, 48, 48)
    images[0] = 7
    write_folder(tmp_path, images, labels)
    assert [cli("inspect", tmp_path, "-q", *more).exit_code for more in ((), ("--fail",))] == [0, 1]


def test_the_page_is_escaped_bounded_and_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = scenes(32)
    log = VisualLog(class_names=["<b>a", "b", "c", "d"])
    log.record("<script>alert(1)</script>", images, labels, paths=[f"<i>{n}" for n in range(32)])
    text = log.save(tmp_path / "page.html", title="a & b").read_text()
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert "<i>" not in text
    assert "<b>a" not in text
    assert not re.search(r"https?://|src=\"(?!data:)", text)
    assert text.count("<figure>") == 24
    monkeypatch.setattr(page, "MAX_IMAGE_BYTES", 40_000)
    bounded = page.render_page(log.evidence(), (), "t")
    assert len(bounded) < 60_000
    assert re.search(r"\d+ samples omitted", bounded)


@pytest.mark.slow
def test_a_video_run_writes_what_the_model_is_fed(tmp_path: Path, clip: Path) -> None:
    model = ("--model", "tests.pipeline.models:brightness", "--preprocess", "0..1")
    out, html = tmp_path / "o.mp4", tmp_path / "i.html"
    result = cli("process", clip, "--end", "0.4", "-o", out, "--inspect", html, *model)
    assert result.exit_code == 0, result.output
    text = html.read_text()
    assert re.findall(r"<div class=stage><h3>(.*?)<", text) == ["decoded", "resized", "model input"]
    counts = re.findall(r"<p>(\d+) images?, (\w+)</p>", text)
    assert [dtype for _, dtype in counts] == ["uint8", "uint8", "float32"]
    assert len({count for count, _ in counts}) == 1
    highest = [float(high) for high in re.findall(r"<p>[-\d.e]+ to ([\d.e-]+); mean", text)]
    assert highest[2] == pytest.approx(highest[1] / 255, rel=1e-3)
    assert cli("process", clip, "--end", "0.4", "-o", tmp_path / "p.mp4", "--inspect", html, *model).exit_code == 1


def test_inspect_takes_one_input(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(photos()[0]).save(tmp_path / name)
    result = cli("process", tmp_path / "a.png", tmp_path / "b.png", "--inspect", tmp_path / "i.html")
    assert (result.exit_code, "--inspect with several inputs" in one_line(result.stderr)) == (2, True)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    write_folder(tmp_path, *scenes(4, 48, 48))
    result = cli("inspect", tmp_path, "-q", "-o", "/dev/full/page.html")
    assert result.exit_code == 1
    one_line(result.stderr)
