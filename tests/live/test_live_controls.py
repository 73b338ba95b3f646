"""Controls of a live run: settings, snapshots and pauses, and changes that fail."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from streamcam.errors import (
    LayerError,
    MethodError,
    OptionError,
    TargetError,
)
from streamcam.live.inference import InferenceService

from .live_runs import PATTERN, job, run_in_thread

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_the_look_changes_while_something_is_compiled(monkeypatch):
    compiled, result = threading.Event(), InferenceService.change

    def change(self, **explain):
        assert compiled.wait(60)
        result(self, **explain)

    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(3)
        monkeypatch.setattr(InferenceService, "change", change)
        waiting = threading.Thread(target=lambda: run.controller.change(method="saliency"), daemon=True)
        waiting.start()
        assert run.controller.change(alpha=0.25).alpha == 0.25
        assert waiting.is_alive()
        compiled.set()
        waiting.join(60)
        assert run.controller.status().settings.method == "saliency"
        assert run.controller.status().settings.alpha == 0.25


def test_controls_act_at_once_and_what_cannot_be_had_changes_nothing():
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(3)
        controller = run.controller
        assert controller.change(alpha=0.2, colormap="viridis").alpha == 0.2
        assert controller.change(caption_position="bottom-right").caption_position == "bottom-right"
        assert controller.change(method="saliency").method == "saliency"
        run.wait_until(lambda status: status.layer == "input")
        run.wait_for_explained(3)
        assert controller.change(method="layercam", target="0").target == ("0",)
        run.wait_until(lambda status: status.cameras[0].targets and status.cameras[0].targets[0].label == "class 0")
        for wrong, error in (
            ({"method": "nothing"}, MethodError),
            ({"layer": "nowhere"}, LayerError),
            ({"target": "no such class"}, TargetError),
            ({"alpha": 7.0}, OptionError),
            ({"colour": "red"}, OptionError),
        ):
            before = controller.status().settings
            with pytest.raises(error):
                controller.change(**wrong)
            assert controller.status().settings == before
        run.wait_for_explained(3)
        assert "evidence" in controller.layers()
        assert controller.methods()[0]
        assert controller.labels()


@pytest.mark.slow
def test_a_change_that_waits_ends_with_the_run():
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(1)
        errors: list[BaseException] = []

        def change() -> None:
            try:
                for method in ("saliency", "layercam", "gradcam++", "hirescam") * 5:
                    run.controller.change(method=method)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=change, daemon=True)
        thread.start()
        run.stop()
        thread.join(60)
        assert not thread.is_alive()
        assert "ended" in str(errors[0])


@pytest.mark.slow
def test_a_snapshot_is_the_frame_with_its_map():
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(5)
        snapshot = run.controller.handles["cam1"].snapshot()
    image = np.asarray(Image.open(io.BytesIO(snapshot.png)))
    assert image.shape == (96, 128, 3)
    assert snapshot.maps.dtype == np.float32
    assert snapshot.maps.shape == (1, *snapshot.maps.shape[1:])
    assert snapshot.status.targets[0].label == "class 1"


@pytest.mark.slow
def test_a_paused_camera_shows_nothing_new():
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(3)
        monitor = run.controller.handles["cam1"]
        monitor.pause(True)
        run.wait_until(lambda status: status.cameras[0].state == "paused")
        before = run.controller.status().cameras[0]
        run.wait_until(lambda status: status.cameras[0].frames_in >= before.frames_in + 20)
        assert run.controller.status().cameras[0].frames_shown <= before.frames_shown + 3
        shown = (monitor.snapshot().png, monitor.shown_jpeg())
        png, jpeg = (np.asarray(Image.open(io.BytesIO(content)), float) for content in shown)
        assert np.abs(png - jpeg).mean() < 8
        monitor.pause(False)
        run.wait_for_explained(3)
        counts = run.stop().total
    assert counts["frames_paused"] >= 20
    assert 0 <= counts["frames_in"] - sum(counts[f"frames_{w}"] for w in ("shown", "dropped", "paused")) <= 5
