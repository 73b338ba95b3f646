"""Metrics of a run, without a server."""

from __future__ import annotations

import shutil
import subprocess

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamcam.errors import redact_url
from streamcam.live.status import OutputStatus
from streamcam.web.metrics import make_registry

from ..live.fake_controller import FakeController


def test_outputs_that_differ_in_their_stream_key_have_series_of_their_own() -> None:
    outputs = tuple(
        OutputStatus("cam1", redact_url(f"rtmp://127.0.0.1/app/secret{number}"), "running", frames=number)
        for number in (1, 2)
    )
    assert outputs[0].url == outputs[1].url
    with FakeController("cam1", outputs=outputs) as controller:
        text = generate_latest(make_registry(controller)).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(set(series)) == len(series)
    frames = {s.labels["output"]: s.value for s in samples if s.name == "streamcam_output_frames_total"}
    assert frames == {"1": 1, "2": 2}
    assert "secret" not in text
    if promtool := shutil.which("promtool"):
        command = [promtool, "check", "metrics"]
        checked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
