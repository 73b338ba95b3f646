"""The model of a live run: what a change of the target costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streamcam.concurrency.group import StageTimer
from streamcam.engine import explainer as engine_explainer
from streamcam.errors import TargetError
from streamcam.frames import Frame, SourceInfo
from streamcam.live.inference import InferenceService
from streamcam.live.model_binding import ModelBinding
from streamcam.options import ExplainOptions, ModelOptions
from tests.engine.models import HEIGHT, WIDTH

INFO = SourceInfo("cam1", WIDTH, HEIGHT, "yuv420p", Fraction(1, 25), live=True)
LABELS = ("a", "b", "c", "d", "e")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each compilation."""
    counted: list[str] = []
    compile_method = engine_explainer.compile_method

    def count(*given: Any, **options: Any) -> Any:
        counted.append(threading.current_thread().name)
        return compile_method(*given, **options)

    monkeypatch.setattr(engine_explainer, "compile_method", count)
    return counted


@pytest.fixture
def service(compiled: list[str]) -> Iterator[InferenceService]:
    model = ModelOptions(model="tests.engine.models:functional", labels=LABELS, preprocess="-1..1")
    service = InferenceService(model, ExplainOptions(precision="float32"), num_cameras=2)
    thread = threading.Thread(target=service.work_loop, args=(lambda devices: None,), daemon=True)
    thread.start()
    service.wait_until_ready(INFO)
    yield service
    service.stop()
    thread.join(60)
    assert not thread.is_alive()


def explained_labels(binding: ModelBinding) -> list[str]:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    frame = Frame(index=0, pts=0, video_frame=None, model_input=pixels)  # type: ignore[arg-type]
    replica = binding.batch_sizes.replica_on("cpu", 1)
    (worker,) = binding.batch_sizes.explainer.workers((replica,), StageTimer())
    return [one.label for one in worker((frame,))[1][0].attributions]


def test_another_class_compiles_nothing_and_another_method_does(service: InferenceService, compiled: list[str]) -> None:
    before = service.binding_for(INFO)
    assert before is not None
    service.change(target=("c",))  # behind the larger batch, which the same thread compiles
    num_compiled = len(compiled)
    assert num_compiled == 2
    binding = service.binding_for(INFO)
    assert binding is not None
    assert binding.batch_sizes is not before.batch_sizes  # so that results with the old target are told apart
    assert (explained_labels(binding), binding.num_targets) == (["c"], 1)
    service.change(target=("a", "b - d", "top"))
    binding = service.binding_for(INFO)
    assert binding is not None
    assert explained_labels(binding)[:2] == ["a", "b − d"]
    assert (binding.num_targets, binding.batch_sizes.known) == (3, (1, 2))
    with pytest.raises(TargetError, match="unknown"):
        service.change(target=("giraffe",))
    assert service.options.target == ("a", "b - d", "top")
    assert len(compiled) == num_compiled
    service.change(method="layercam")
    assert len(compiled) > num_compiled


def test_the_models_threads_keep_their_priority_also_for_another_method(service: InferenceService) -> None:
    binding = service.binding_for(INFO)
    assert binding is not None
    explainer = binding.batch_sizes.explainer
    assert not explainer.pool.threads_yield
    assert not explainer.with_options(method="hirescam").pool.threads_yield
