from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, TargetError
from streamcam.models import Target, parse_target
from streamcam.models.labels import imagenet_labels
from streamcam.models.targets import NO_CLASS, TargetSet, _encode, choose_classes, score_classes
from streamcam.tf import tf

IMAGENET = imagenet_labels()
ANIMALS = ("cat", "tiger cat", "dog", "Caterpillar", "Dog")
PARTS = ("left - right", "left", "right - up", "up", "old car - new car")
LOGITS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


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
    found = parse_target(IMAGENET, target)
    assert (found.index, found.kind) == (index, "top" if index is None else "class")
    assert found.label == ("" if index is None else IMAGENET[index])


def test_a_whole_name_wins_over_names_that_contain_it() -> None:
    assert parse_target(ANIMALS, "cat").index == 0
    assert parse_target(ANIMALS, "tiger").index == 1


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        (IMAGENET, "1000", "unknown --target 1000; expected 0 to 999"),
        (IMAGENET, "-1", "unknown --target -1; expected 0 to 999"),
        (IMAGENET, "samoyd", "did you mean 'Samoyed'"),
        (IMAGENET, "zzzzzz", "unknown --target 'zzzzzz'; expected top, an index from 0 to 999, or a name"),
        (IMAGENET, "crane", "ambiguous --target 'crane': 'crane (bird)' (134), 'crane (machine)' (517)"),
        (IMAGENET, "terrier", "(183) and "),
        (ANIMALS, "dog", "ambiguous --target 'dog': 'dog' (2), 'Dog' (4)"),
        (IMAGENET, "", "unknown --target ''"),
    ],
)
def test_target_misses(labels: tuple[str, ...], target: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(labels, target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Contrasts


@pytest.mark.parametrize(
    ("labels", "text", "pair", "label"),
    [
        (ANIMALS, "tiger - caterpillar", (1, 3), "tiger cat − Caterpillar"),
        (ANIMALS, "3 - cat", (3, 0), "Caterpillar − cat"),
        (ANIMALS, "  4 -  2 ", (4, 2), "Dog − dog"),
        (IMAGENET, "Egyptian cat - tiger cat", (285, 282), "Egyptian cat − tiger cat"),
        (PARTS, "up - left", (3, 1), "up − left"),
        (PARTS, "left - right - 3", (0, 3), "left - right − up"),
        (PARTS, "1 - old car - new car", (1, 4), "left − old car - new car"),
    ],
)
def test_contrasts(labels: tuple[str, ...], text: str, pair: tuple[int, int], label: str) -> None:
    found = parse_target(labels, text)
    assert (found.kind, found.index, found.pair, found.label) == ("contrast", None, pair, label)


def test_a_name_with_a_minus_is_a_class() -> None:
    assert parse_target(PARTS, "left - right").index == 0
    assert parse_target(PARTS, "car - new").index == 4


@pytest.mark.parametrize(
    ("labels", "text", "message"),
    [
        (
            ANIMALS,
            "cat - CAT",
            "invalid --target 'cat - CAT': contrast of 'cat' with itself; expected two different classes",
        ),
        (ANIMALS, "3 - caterpillar", "with itself"),
        (ANIMALS, "cat - 9", "unknown --target 9; expected 0 to 4"),
        (IMAGENET, "samoyd - tench", "unknown --target 'samoyd'; expected an index from 0 to 999, or a name; did you"),
        (ANIMALS, "cat - dog", "ambiguous --target 'dog': 'dog' (2), 'Dog' (4)"),
        (ANIMALS, "cat - ", "unknown --target ''"),
        (
            ("a - b", "c", "a", "b - c"),
            "a - b - c",
            "ambiguous --target 'a - b - c': 2 ways to split it; use the indices",
        ),
        (ANIMALS, "cat-tiger", "unknown --target 'cat-tiger'; expected top, an index from 0 to 4, or a name"),
    ],
)
def test_contrasts_that_are_none(labels: tuple[str, ...], text: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(labels, text)
    assert message in str(caught.value)


# What is explained in each row


def scores_of(target: Target, *, rows: int | None = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chosen classes, the scores, and the gradient of their sum, as the engine traces them."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((rows, 5), tf.float32)])
    def forward(logits: Any) -> Any:
        if target.function is not None:
            score = target.call_function(logits)
            return tf.fill([4, 2], tf.constant(NO_CLASS, tf.int64)), score, tf.gradients(score, logits)[0]
        classes = choose_classes(
            logits, tf.repeat(np.array([_encode(target, {})], np.int32), tf.shape(logits)[0], axis=0)
        )
        score = score_classes(logits, classes)
        assert (classes.dtype, score.dtype) == (tf.int64, tf.float32)
        return classes, score, tf.gradients(score, logits)[0]

    chosen, score, gradient = forward(tf.constant(LOGITS))
    return chosen.numpy(), score.numpy(), tf.convert_to_tensor(gradient).numpy()


@pytest.mark.parametrize("rows", [4, None])
def test_top_and_a_class(rows: int | None) -> None:
    best = LOGITS.argmax(axis=1)
    for text, classes in [("top", best), ("tiger cat", np.full(4, 1)), ("3", np.full(4, 3))]:
        chosen, score, gradient = scores_of(parse_target(ANIMALS, text), rows=rows)
        np.testing.assert_array_equal(chosen, np.stack([classes, np.full(4, NO_CLASS)], axis=1))
        np.testing.assert_array_equal(score, LOGITS[range(4), classes])
        np.testing.assert_array_equal(gradient, np.eye(5)[classes])


@pytest.mark.parametrize("rows", [4, None])
def test_a_contrast_is_the_difference_of_two_logits(rows: int | None) -> None:
    chosen, score, gradient = scores_of(parse_target(ANIMALS, "3 - tiger"), rows=rows)
    np.testing.assert_array_equal(chosen, [[3, 1]] * 4)
    np.testing.assert_array_equal(score, LOGITS[:, 3] - LOGITS[:, 1])
    np.testing.assert_array_equal(gradient, [[0, -1, 0, 1, 0]] * 4)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_targets.py").write_text(
        "import tensorflow as tf\n"
        "def cats(logits):\n    return tf.reduce_sum(logits[:, :2], axis=1)\n"
        "def double(logits):\n    return tf.cast(logits[:, 0], tf.float64) * 2\n"
        "def table(logits):\n    return logits\n"
        "def total(logits):\n    return tf.reduce_sum(logits)\n"
        "def short(logits):\n    return logits[:2, 0]\n"
        "def classes(logits):\n    return tf.argmax(logits, axis=1)\n"
        "def nothing(logits):\n    return None\n"
        "def broken(logits):\n    raise ValueError('no\\nluck')\n"
        "def eager(logits):\n    return logits.numpy()[:, 0]\n"
        "def branch(logits):\n    return logits[:, 0] if logits[0, 0] > 0 else logits[:, 1]\n"
    )
    return tmp_path


@pytest.mark.usefixtures("workdir")
def test_a_function_of_the_logits() -> None:
    target = parse_target(ANIMALS, " my_targets:cats ")
    assert (target.kind, target.index, target.label) == ("function", None, "cats")
    _, score, gradient = scores_of(target)
    np.testing.assert_allclose(score, LOGITS[:, :2].sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(gradient, [[1, 1, 0, 0, 0]] * 4)
    np.testing.assert_allclose(scores_of(parse_target(ANIMALS, "my_targets:double"))[1], 2 * LOGITS[:, 0])


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table", "returned (4, 5); expected float numbers (N,), one for each row of the logits (N, classes)"),
        ("total", "returned ()"),
        ("short", "returned (2,)"),
        ("classes", "returned int64 (4,)"),
        ("nothing", "failed: ValueError: "),
        ("broken", "failed: ValueError: no"),
        ("eager", "failed: "),
        ("branch", "failed: OperatorNotAllowedInGraphError: "),
    ],
)
def test_functions_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        scores_of(parse_target(ANIMALS, f"my_targets:{name}"))
    assert str(caught.value).startswith(f"target function {name} {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("workdir")
def test_functions_that_are_not_there() -> None:
    with pytest.raises(ModelError, match="module my_targets has no function 'cat'; did you mean 'cats'"):
        parse_target(ANIMALS, "my_targets:cat")
    with pytest.raises(ModelError, match="no module nowhere"):
        parse_target(ANIMALS, "nowhere:f")
    assert parse_target(("nowhere:f", "b"), "nowhere:f").index == 0


@pytest.mark.usefixtures("workdir")
def test_codes_of_a_set_number_its_functions_once() -> None:
    given = ["top", "my_targets:cats", "3 - tiger", "my_targets:double", "my_targets:cats", "2"]
    found = TargetSet(ANIMALS, given)
    assert found.codes.tolist() == [[-1, -1], [-2, -1], [3, 1], [-3, -1], [-2, -1], [2, -1]]
    assert [one.label for one in found.functions] == ["cats", "double"]
    assert found.compiled_in == TargetSet(ANIMALS, [given[n] for n in (0, 1, 3, 4)]).compiled_in
    assert found.compiled_in != TargetSet(ANIMALS, given[:3]).compiled_in
    assert TargetSet(ANIMALS, ["1"]).compiled_in == TargetSet(ANIMALS, ["0 - 2", "top"]).compiled_in
    assert not TargetSet(ANIMALS, [given[1]]).by_code
