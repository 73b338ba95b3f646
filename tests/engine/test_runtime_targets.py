"""Classes and contrasts at run time: one compiled graph for all, with the maps of targets that are compiled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.engine import explainer as engine_explainer
from streamcam.engine.compiled_method import Executable
from streamcam.engine.runtime import target_graph
from streamcam.models.targets import TargetSet
from tests.marks import slow_except

from . import models
from .executables import build_executable, random_images, scale
from .models import CLASSES, MAP_SIZE

LABELS = tuple(f"class {n}" for n in range(CLASSES))
GIVEN = ["top", "3", "0 - 4", "1"]


def class_three(logits: Any) -> Any:
    return logits[:, 3]


def zero_less_four(logits: Any) -> Any:
    return logits[:, 0] - logits[:, 4]


@pytest.fixture(scope="module")
def model() -> Any:
    return models.functional()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The methods that are compiled during a test."""
    methods: list[Any] = []
    compile_method = engine_explainer.compile_method

    def record(*given: Any, **options: Any) -> Any:
        methods.append(compile_method(*given, **options))
        return methods[-1]

    monkeypatch.setattr(engine_explainer, "compile_method", record)
    return methods


PARAMS: dict[str, Any] = {"integrated-gradients": {"steps": 2}, "occlusion": {"patch": 16, "stride": 16}}


@pytest.mark.parametrize(
    "method",
    slow_except(
        ["gradcam", "integrated-gradients"],
        ["gradcam", "integrated-gradients", "gradcam++", "eigencam", "saliency", "guided-backprop", "occlusion"],
    ),
)
def test_maps_are_those_of_compiled_targets(model: Any, method: str) -> None:
    """One executable has both: functions of the logits are compiled in."""
    params = PARAMS.get(method, {})
    executable = build_executable(model, method, target=["top", class_three, zero_less_four], params=params)
    images = random_images(3)
    compiled_in = executable(images)
    one_by_one = [executable(images, TargetSet(LABELS, [one]).codes) for one in GIVEN]
    together = executable(images, TargetSet(LABELS, GIVEN).codes)
    assert executable.first._parts is not None  # type: ignore[attr-defined]
    for n, expected in ((1, 1), (2, 2)):
        found = one_by_one[n]
        np.testing.assert_array_equal(found.scores[:, 0], compiled_in.scores[:, expected])
        np.testing.assert_allclose(
            found.maps[:, 0], compiled_in.maps[:, expected], atol=1e-6 * np.abs(compiled_in.maps[:, expected]).max()
        )
    assert together.classes.tolist() == np.stack([one.classes[:, 0] for one in one_by_one], axis=1).tolist()
    np.testing.assert_array_equal(together.top_classes, one_by_one[0].top_classes)
    for n, alone in enumerate(one_by_one):
        np.testing.assert_allclose(together.scores[:, n], alone.scores[:, 0], rtol=1e-6)
        np.testing.assert_allclose(
            together.maps[:, n], alone.maps[:, 0], atol=1e-6 * max(np.abs(alone.maps).max(), 1e-30)
        )


def test_a_graph_that_cannot_be_parted_runs_once_for_each_target(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_graph, "_find_state", lambda *given: None)
    codes, images = TargetSet(LABELS, GIVEN).codes, random_images(2)
    whole = build_executable(model)
    found = whole(images, codes)
    assert whole.first._parts is None  # type: ignore[attr-defined]
    monkeypatch.undo()
    np.testing.assert_allclose(found.maps, build_executable(model)(images, codes).maps, atol=1e-6)


def test_each_image_may_have_its_own_target_and_nothing_is_compiled(model: Any, compiled: list[Any]) -> None:
    explainer = streamcam.Explainer(model, preprocess=scale, labels=LABELS, precision="float32", batch=2)
    images = random_images(3)
    own = explainer.explain(images)
    assert len(compiled) == 1
    found = explainer.explain(images, targets=["class 3", 2, "class 0 - class 4"])
    for_all = explainer.explain(images, targets=3)
    explainer.explain(images, targets=["top", "class 1", 4])
    assert len(compiled) == 1
    assert found.targets == ("class 3", "class 2", "class 0 − class 4")
    assert own.maps.shape == found.maps.shape == (3, *MAP_SIZE)
    np.testing.assert_array_equal(found.maps[0], for_all.maps[0])
    assert np.isnan(found.probabilities[2])
    assert np.isfinite(found.probabilities[:2]).all()
    with pytest.raises(streamcam.OptionError, match="2 targets for 3 images"):
        explainer.explain(images, targets=[1, 2])
    with pytest.raises(streamcam.TargetError, match="class_three is a function"):
        explainer.explain(images, targets=class_three)  # type: ignore[arg-type]
    with pytest.raises(streamcam.TargetError, match="unknown"):
        explainer.explain(images, targets="giraffe")


def test_an_explainer_of_several_targets_takes_one_for_each_image(model: Any, compiled: list[Any]) -> None:
    explainer = streamcam.Explainer(model, preprocess=scale, labels=LABELS, target=["top", class_three], batch=2)
    found = explainer.explain(random_images(2), targets=[1, 2])
    assert (found.targets, found.maps.shape) == (("class 1", "class 2"), (2, *MAP_SIZE))
    assert explainer.explain(random_images(2)).maps.shape == (2, 2, *MAP_SIZE)
    assert len(compiled) == 1


def num_nodes(executable: Executable) -> int:
    return len(executable.method.first.graph_def.node)


def test_a_graph_for_many_targets_is_that_of_one(model: Any, compiled: list[Any]) -> None:
    def prepared(target: Any) -> tuple[streamcam.Explanation, int]:
        explainer = streamcam.Explainer(model, preprocess=scale, target=target, precision="float32", batch=2)
        found = explainer.explain(random_images(2))
        return found, num_nodes(next(iter(explainer._engine._prepared.values()))[0][0].executable)

    one, nodes_of_one = prepared(0)
    many, nodes_of_many = prepared([n % CLASSES for n in range(73)])
    assert nodes_of_many == nodes_of_one
    assert many.maps.shape == (2, 73, *MAP_SIZE)
    np.testing.assert_allclose(many.maps[:, 70], one.maps, atol=1e-6)
    assert [len(one.first.graph_def.node) for one in compiled] == [len(compiled[0].first.graph_def.node)] * 2


def test_another_class_needs_no_new_executable_and_another_method_does(model: Any, compiled: list[Any]) -> None:
    explainer = streamcam.Explainer(model, preprocess=scale, labels=LABELS, batch=2)
    explainer.explain(random_images(2))
    engine = explainer._engine
    other = engine.with_options(target=("class 4", "1 - 2"))
    assert other.shares_executables(engine)
    assert not engine.with_options(method="layercam").shares_executables(engine)
    assert not engine.with_options(target=(class_three,)).shares_executables(engine)
    engine.drop_executables()
    assert other._prepared
    assert len(compiled) == 1


def test_the_key_of_the_compile_cache_has_no_class() -> None:
    from streamcam.engine.explainer import FrameExplainer
    from streamcam.options import ExplainOptions, ModelOptions

    one = FrameExplainer(ModelOptions(model="efficientnet-lite0"), ExplainOptions())
    key = one._method_key((224, 224), 8)
    assert key
    assert one.with_options(target=("tabby", "tabby - tiger cat"))._method_key((224, 224), 8) == key
    assert one.with_options(method="layercam")._method_key((224, 224), 8) != key
