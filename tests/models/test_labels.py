from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import OptionError
from streamcam.models.labels import default_labels, imagenet_labels, resolve_labels

IMAGENET = imagenet_labels()


def test_imagenet_labels_are_in_the_standard_order_and_all_different() -> None:
    expected = {0: "tench", 89: "sulphur-crested cockatoo", 258: "Samoyed", 285: "Egyptian cat", 999: "toilet tissue"}
    assert {index: IMAGENET[index] for index in expected} == expected
    assert len({label.casefold() for label in IMAGENET}) == len(IMAGENET) == 1000
    assert all(label == label.strip() and label for label in IMAGENET)


@pytest.mark.parametrize(("index", "word"), [(134, "crane"), (517, "crane"), (638, "maillot"), (639, "maillot")])
def test_repeated_names_stay_readable(index: int, word: str) -> None:
    assert IMAGENET[index].startswith(f"{word} (")


def test_numbered() -> None:
    assert default_labels(3) == ("class 0", "class 1", "class 2")
    assert default_labels(1) == ("negative", "positive")


def test_labels_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffHühnchen\r\n red panda \r\n\r\n".encode())
    assert resolve_labels(str(path), 2, "m") == ("Hühnchen", "red panda")
    assert resolve_labels(str(path), 1, "m") == ("Hühnchen", "red panda")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\n", "has 3 classes; expected 2, the classes of m"),
        (b"", "has 0 classes; expected 2, the classes of m"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
    ],
)
def test_label_files_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        resolve_labels(str(path), 2, "m")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_label_file_and_wrong_count_for_imagenet(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.txt cannot be read: No such file"):
        resolve_labels(str(tmp_path / "none.txt"), 2, "m")
    with pytest.raises(OptionError, match="--labels imagenet has 1000 classes; expected 10, the classes of m"):
        resolve_labels("imagenet", 10, "m")


@pytest.mark.parametrize("names", [["cat", "dog"], ("cat", "dog"), np.array(["cat", "dog"])])
def test_names_given_as_they_are(names: Any) -> None:
    assert resolve_labels(names, 2, "m") == ("cat", "dog")
    with pytest.raises(OptionError, match="labels has 2 classes; expected 3, the classes of m"):
        resolve_labels(names, 3, "m")


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, "dog"], "invalid label 1"), (3, "invalid labels of type int"), ({"a": 1}, "invalid labels of type dict")],
)
def test_what_is_no_names(labels: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"{message}; expected auto, imagenet, a file, or a sequence of names"):
        resolve_labels(labels, 2, "m")
