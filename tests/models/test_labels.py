from __future__ import annotations

from pathlib import Path

import pytest

from streamcam.errors import OptionError, TargetError
from streamcam.models.labels import imagenet_labels, named, numbered, target_index

IMAGENET = imagenet_labels()
ANIMALS = ("cat", "tiger cat", "dog", "Caterpillar", "Dog")


def test_imagenet_labels_are_in_the_standard_order_and_all_different() -> None:
    expected = {0: "tench", 89: "sulphur-crested cockatoo", 258: "Samoyed", 285: "Egyptian cat", 999: "toilet tissue"}
    assert {index: IMAGENET[index] for index in expected} == expected
    assert len({label.casefold() for label in IMAGENET}) == len(IMAGENET) == 1000
    assert all(label == label.strip() and label for label in IMAGENET)


@pytest.mark.parametrize(("index", "word"), [(134, "crane"), (517, "crane"), (638, "maillot"), (639, "maillot")])
def test_repeated_names_stay_readable(index: int, word: str) -> None:
    assert IMAGENET[index].startswith(f"{word} (")


@pytest.mark.parametrize(
    ("target", "index"),
    [
        ("top", None),
        ("TOP", None),
        ("0", 0),
        (" 999 ", 999),
        ("Samoyed", 258),
        ("samoyed", 258),
        ("cockatoo", 89),
        ("crane (machine)", 517),
        ("egyptian CAT", 285),
        ("tank suit", 639),
    ],
)
def test_target_finds(target: str, index: int | None) -> None:
    assert target_index(IMAGENET, target) == index


def test_a_whole_name_wins_over_names_that_contain_it() -> None:
    assert target_index(ANIMALS, "cat") == 0
    assert target_index(ANIMALS, "tiger") == 1


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        (IMAGENET, "1000", "there is no class 1000; wanted 0 to 999"),
        (IMAGENET, "-1", "there is no class -1; wanted 0 to 999"),
        (IMAGENET, "samoyd", "did you mean 'Samoyed'"),
        (IMAGENET, "zzzzzz", "there is no class 'zzzzzz'; wanted top, an index from 0 to 999, or a name"),
        (IMAGENET, "crane", "2 classes are called 'crane': 'crane (bird)' (134), 'crane (machine)' (517)"),
        (IMAGENET, "terrier", "(183) and "),
        (ANIMALS, "dog", "2 classes are called 'dog': 'dog' (2), 'Dog' (4)"),
        (IMAGENET, "", "there is no class ''"),
    ],
)
def test_target_misses(labels: tuple[str, ...], target: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        target_index(labels, target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbered() -> None:
    assert numbered(3) == ("class 0", "class 1", "class 2")
    assert numbered(1) == ("negative", "positive")


def test_labels_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffHühnchen\r\n red panda \r\n\r\n".encode())
    assert named(str(path), 2, "m") == ("Hühnchen", "red panda")
    assert named(str(path), 1, "m") == ("Hühnchen", "red panda")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\n", "has 3 classes; wanted 2, as m has"),
        (b"", "has 0 classes; wanted 2, as m has"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
    ],
)
def test_label_files_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        named(str(path), 2, "m")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_label_file_and_wrong_count_for_imagenet(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.txt cannot be read: No such file"):
        named(str(tmp_path / "none.txt"), 2, "m")
    with pytest.raises(OptionError, match="--labels imagenet has 1000 classes; wanted 10, as m has"):
        named("imagenet", 10, "m")
