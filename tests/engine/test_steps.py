"""Passes in runs of one size, within a memory budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.engine import steps

from . import models
from .test_kernel import kernel_of, pictures


@pytest.mark.parametrize(
    ("method", "params"), [("occlusion", {"patch": 16, "stride": 8}), ("integrated-gradients", {"steps": 5})]
)
def test_the_size_of_a_run_changes_nothing(method: str, params: Any) -> None:
    model, images = models.functional(), pictures(3)
    wanted = kernel_of(model, method, params=params, target=["top", "2"])(images)
    for rows in (1, 5, 64):
        kernel = kernel_of(model, method, params=params, target=["top", "2"], rows=rows)
        assert kernel.passes is not None
        assert kernel.passes.rows == rows
        np.testing.assert_allclose(kernel(images).maps, wanted.maps, atol=1e-5 * np.abs(wanted.scores).max())


def test_a_run_is_cut_down_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.functional()
    whole = kernel_of(model, "occlusion", params={"patch": 16}, rows=32)
    assert whole.passes is not None
    assert whole.passes.rows == 32
    monkeypatch.setattr(steps, "BUDGET", steps.BUDGET // 2**13)
    cut = kernel_of(model, "occlusion", params={"patch": 16}, rows=32)
    assert cut.passes is not None
    assert 1 <= cut.passes.rows < 32
    images = pictures(2)
    np.testing.assert_allclose(cut(images).maps, whole(images).maps, atol=1e-5)


def test_progress_counts_every_pass() -> None:
    kernel = kernel_of(models.functional(), "occlusion", params={"patch": 16, "stride": 16}, rows=5)
    told: list[tuple[int, int]] = []
    kernel(pictures(3), lambda done, total: told.append((done, total)))
    assert told == [(5, 21), (10, 21), (15, 21), (20, 21), (21, 21)]
