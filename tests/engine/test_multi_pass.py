"""Passes in runs of one size, within a memory budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.engine import multi_pass as steps

from . import models
from .executables import build_executable, random_images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "params"), [("occlusion", {"patch": 16, "stride": 8}), ("integrated-gradients", {"steps": 5})]
)
def test_the_size_of_a_run_changes_nothing(method: str, params: Any) -> None:
    model, images = models.functional(), random_images(3)
    expected = build_executable(model, method, params=params, target=["top", "2"])(images)
    for rows in (1, 5, 64):
        executable = build_executable(model, method, params=params, target=["top", "2"], passes_per_run=rows)
        assert executable.passes is not None
        assert executable.passes.passes_per_run == rows
        np.testing.assert_allclose(executable(images).maps, expected.maps, atol=1e-5 * np.abs(expected.scores).max())


@pytest.mark.slow
def test_a_run_is_cut_down_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.functional()
    whole = build_executable(model, "occlusion", params={"patch": 16}, passes_per_run=32)
    assert whole.passes is not None
    assert whole.passes.passes_per_run == 32
    monkeypatch.setattr(steps, "MEMORY_BUDGET_BYTES", steps.MEMORY_BUDGET_BYTES // 2**13)
    cut = build_executable(model, "occlusion", params={"patch": 16}, passes_per_run=32)
    assert cut.passes is not None
    assert 1 <= cut.passes.passes_per_run < 32
    images = random_images(2)
    np.testing.assert_allclose(cut(images).maps, whole(images).maps, atol=1e-5)


def test_progress_counts_every_pass() -> None:
    params = {"patch": 16, "stride": 16}
    executable = build_executable(models.functional(), "occlusion", params=params, passes_per_run=5)
    progress: list[tuple[int, int]] = []
    executable(random_images(3), lambda done, total: progress.append((done, total)))
    assert progress == [(5, 21), (10, 21), (15, 21), (20, 21), (21, 21)]
