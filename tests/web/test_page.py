"""Responses of the page, its API, health and metrics."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import streamcam
from streamcam import web as page
from streamcam.live.status import OutputStatus
from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.history import HistoryRecorder

from ..live.fake_controller import LABELS, LAYERS, METHODS, FakeController
from ..waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def controller() -> Iterator[FakeController]:
    outputs = (OutputStatus("cam1", 'a "quoted" \\ place', "waiting", "no", 7, 2, 1),)
    with FakeController("cam1", "cam2", size=(160, 96), outputs=outputs) as controller:
        yield controller


def test_page_and_its_files_are_served(client: httpx.Client) -> None:
    index = client.get("/")
    assert index.status_code == 200
    assert index.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in index.headers["content-security-policy"]
    assert client.get("/docs").headers["content-type"].startswith("text/html")
    for file in (
        "style.css",
        "docs.css",
        "docs.js",
        "main.js",
        "camera.js",
        "settings.js",
        "chart.js",
        "api.js",
        "webrtc.js",
    ):
        assert client.get(f"/static/{file}").status_code == 200
    for outside in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/nothing.js"):
        assert client.get(outside).status_code == 404


def test_the_api_lists_its_addresses(client: httpx.Client) -> None:
    index = client.get("/api").json()
    assert client.get(index["description"]).json()["info"]["title"] == "streamcam"
    assert client.get(index["page"]).status_code == 200
    assert index["operations"]["GET /api/status"] == "Return the state of the run."
    assert len(index["operations"]) == 19
    for path in ("/nothing", "/api/nothing"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (404, f"unknown path {path!r}; /api lists the paths")


def test_page_loads_no_foreign_files() -> None:
    for file in (Path(page.__file__).parent / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in "".join(line for line in text.splitlines() if "http" in line), file.name


def test_status_is_the_controllers(client: httpx.Client, controller: FakeController) -> None:
    status = client.get("/api/status").json()
    assert [camera["name"] for camera in status["cameras"]] == ["cam1", "cam2"]
    assert status["settings"] == {
        "method": "gradcam",
        "layer": "auto",
        "target": ["top"],
        "alpha": 0.6,
        "colormap": "turbo",
        "caption": True,
        "caption_position": "top-left",
    }
    assert client.get("/api/cameras").json()[1]["name"] == "cam2"
    assert client.get("/api/cameras/cam2").json()["width"] == 160
    assert client.get("/api/methods").json() == list(METHODS)
    assert client.get("/api/layers").json() == list(LAYERS)
    assert client.get("/api/labels").json() == list(LABELS)
    assert "viridis" in client.get("/api/colormaps").json()


def test_settings_are_changed(client: httpx.Client, controller: FakeController) -> None:
    answer = client.patch("/api/settings", json={"method": "layercam", "target": ["top", "tabby"], "layer": None})
    assert answer.status_code == 200
    assert answer.json()["method"] == "layercam"
    assert controller.changes == [{"method": "layercam", "target": ("top", "tabby")}]
    assert client.get("/api/settings").json()["target"] == ["top", "tabby"]
    assert client.patch("/api/settings", json={}).json() == client.get("/api/settings").json()
    assert len(controller.changes) == 1


def test_other_requests_are_answered_while_a_change_compiles(client: httpx.Client, controller: FakeController) -> None:
    controller.compiling.clear()
    answers: list[int] = []
    change = threading.Thread(
        target=lambda: answers.append(client.patch("/api/settings", json={"method": "eigencam"}).status_code)
    )
    change.start()
    try:
        wait_until(lambda: client.get("/api/status").json()["activity"] == "compiling eigencam")
        assert client.patch("/api/settings", json={"alpha": 0.25}).json()["alpha"] == 0.25
        assert answers == []
    finally:
        controller.compiling.set()
        change.join()
    assert answers == [200]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ({"method": "gradcm"}, 409, "unknown method 'gradcm'"),
        ({"target": ["tabbi"]}, 409, "unknown class 'tabbi'"),
        ({"target": []}, 422, "target: List should have at least 1 item"),
        ({"alpha": 1.5}, 422, "alpha: Input should be less than or equal to 1"),
        ({"alpha": "0.5"}, 422, "alpha: Input should be a valid number"),
        ({"colormap": "grey"}, 422, "colormap: Input should be"),
        ({"caption_position": "middle"}, 422, "caption_position: Input should be 'top-left'"),
        ({"opacity": 1}, 422, "opacity: Extra inputs are not permitted"),
        ({"target": ["\ud800"]}, 422, "target.0: Input should be a valid string"),
        ([], 422, "body: Input should be"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(
    client: httpx.Client, controller: FakeController, content: object, status: int, message: str
) -> None:
    before = controller.settings
    answer = client.patch("/api/settings", content=json.dumps(content), headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(message)
    assert "\n" not in answer.json()["detail"]
    assert controller.settings == before


@pytest.mark.parametrize("content", [{"target": ["os:getcwd"]}, {"method": "package.module:function"}])
def test_the_api_accepts_no_import_strings(client: httpx.Client, controller: FakeController, content: object) -> None:
    answer = client.patch("/api/settings", json=content)
    assert answer.status_code == 409
    assert "is a function" in answer.json()["detail"]
    assert controller.changes == []


def test_a_change_before_the_model_is_ready_is_a_conflict(client: httpx.Client, controller: FakeController) -> None:
    controller.ready = False
    answer = client.patch("/api/settings", json={"method": "layercam"})
    assert answer.status_code == 409
    assert answer.json() == {"detail": "the model is not ready yet; try again in a moment"}


def test_a_bug_gives_one_line_without_a_traceback(
    client: httpx.Client, controller: FakeController, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(controller, "status", lambda: 1 / 0)
    answer = client.get("/api/status")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal error: ZeroDivisionError: division by zero"
    assert capfd.readouterr() == ("", "")


def test_pause(client: httpx.Client, controller: FakeController) -> None:
    assert client.patch("/api/cameras/cam1", json={"paused": True}).json()["state"] == "paused"
    assert controller.cameras["cam1"].paused
    assert client.patch("/api/cameras/cam1", json={"paused": False}).json()["state"] == "live"
    assert client.patch("/api/cameras/cam3", json={"paused": True}).status_code == 404
    assert client.patch("/api/cameras/cam1", json={"paused": "yes"}).status_code == 422


def test_snapshots_are_fetched_and_the_oldest_go(client: httpx.Client, controller: FakeController) -> None:
    wait_until(lambda: controller.cameras["cam1"].shown > 0)
    answer = client.post("/api/cameras/cam1/snapshots")
    assert answer.status_code == 201
    taken = answer.json()
    assert taken["status"]["name"] == "cam1"
    assert Image.open(io.BytesIO(client.get(taken["image"]).content)).size == (160, 96)
    assert np.load(io.BytesIO(client.get(taken["map"]).content)).shape == (1, 7, 7)
    for _ in range(15):
        assert client.post("/api/cameras/cam2/snapshots").status_code == 201
    assert client.get(taken["image"]).status_code == 200
    client.post("/api/cameras/cam2/snapshots")
    assert client.get(taken["image"]).status_code == 404
    assert client.get(taken["map"]).status_code == 404


def test_no_snapshot_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamcam.web.live._FIRST_FRAME_TIMEOUT_SECONDS", 0.2)
    controller = FakeController("cam1")  # not entered: no frame ever comes
    with serve(controller, ServerOptions(port=0)) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/api/cameras/cam1/snapshots").status_code == 503
        answer = client.get("/cameras/cam1/frame.jpg")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "camera 'cam1' has no frame yet"}
        assert controller.cameras["cam1"].jpegs.num_subscribers == 0


def readiness(client: httpx.Client, **parameters: str) -> tuple[bool, list[str]]:
    answer = client.get("/readyz", params=parameters)
    content = answer.json()
    assert answer.status_code == (200 if content["ready"] else 503)
    return content["ready"], content["reasons"]


def test_history_of_a_camera(client: httpx.Client, controller: FakeController) -> None:
    wait_until(lambda: len(client.get("/api/cameras/cam1/history").json()["samples"]) > 1)
    history = client.get("/api/cameras/cam1/history").json()
    ages = [sample["seconds_ago"] for sample in history["samples"]]
    assert ages == sorted(ages, reverse=True)
    for sample in history["samples"]:
        assert len(sample["classes"]) == len(sample["probabilities"]) == 5
        assert sample["probabilities"] == sorted(sample["probabilities"], reverse=True)
        assert {history["labels"][one] for one in sample["classes"]} <= set(LABELS)
    assert client.get("/api/cameras/cam3/history").status_code == 404


def test_history_is_bounded_and_has_gaps() -> None:
    controller = FakeController("cam1")
    camera = controller.cameras["cam1"]
    recorder = HistoryRecorder(controller)
    recorder.record((camera.status(),), 0.0)
    assert recorder.get("cam1", 0.0).samples == ()  # no frame yet
    camera.shown = 1
    for second in range(2000):
        camera.state = "lost" if second == 1990 else "live"
        recorder.record((camera.status(),), float(second))
    samples = recorder.get("cam1", 1999.0).samples
    ages = [sample.seconds_ago for sample in samples]
    assert ages == [float(age) for age in range(600, -1, -1) if age != 9]
    camera.state = "ended"
    recorder.record((camera.status(),), 9999.0)
    assert recorder.get("cam1", 9999.0).samples == ()


def test_ready_while_the_model_and_a_camera_are(client: httpx.Client, controller: FakeController) -> None:
    wait_until(lambda: all(camera.shown for camera in controller.cameras.values()))
    assert client.get("/healthz").json() == {"alive": True}
    assert readiness(client) == (True, [])
    first, second = controller.cameras.values()
    first.state, first.last_error = "lost", "no answer"
    lost = ["camera 'cam1' is lost: no answer"]
    assert readiness(client) == (True, lost)
    assert readiness(client, cameras="all") == (False, lost)
    assert readiness(client, camera="cam1") == (False, lost)
    assert readiness(client, camera="cam2", cameras="all") == (True, [])
    first.state = "ended"
    assert readiness(client, cameras="all") == (False, ["camera 'cam1' was given up: no answer"])
    second.stalled = True
    reasons = ["camera 'cam1' was given up: no answer", "camera 'cam2' shows no new frames"]
    assert readiness(client) == (False, reasons)
    second.paused = True
    assert readiness(client) == (True, reasons[:1])
    controller.ready = False
    assert readiness(client, camera="cam2") == (False, ["the model is compiling"])
    assert client.get("/healthz").status_code == 200


def test_readiness_of_what_is_not_there(client: httpx.Client) -> None:
    answer = client.get("/readyz", params={"camera": "cam3"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "unknown camera 'cam3'; expected one of cam1, cam2"})
    answer = client.get("/readyz", params={"cameras": "some"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "cameras: Input should be 'any' or 'all'")


def test_metrics_are_prometheus(client: httpx.Client, controller: FakeController) -> None:
    camera = controller.cameras["cam1"]
    wait_until(lambda: camera.shown > 0)
    camera.paused, camera.drops, camera.reconnects = True, 5, 2
    controller.cameras["cam2"].state = "lost"
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    shown = camera.shown
    assert found["streamcam_frames_total", "cam1", "shown"] == shown
    assert found["streamcam_frames_total", "cam1", "in"] == shown + 5
    assert found["streamcam_frames_total", "cam1", "explained"] == shown // 3
    assert found["streamcam_frames_total", "cam1", "dropped"] == 5
    assert found["streamcam_reconnects_total", "cam1"] == 2
    assert found["streamcam_fps", "cam1"] == 0
    assert found["streamcam_explained_fps", "cam1"] == 0
    assert found["streamcam_viewers", "cam1"] == 0
    assert found["streamcam_camera_live", "cam2"] == 0
    assert found["streamcam_output_frames_total", "cam1", "1", 'a "quoted" \\ place'] == 7
    assert found["streamcam_output_dropped_total", "cam1", "1", 'a "quoted" \\ place'] == 2
    assert found["streamcam_output_restarts_total", "cam1", "1", 'a "quoted" \\ place'] == 1
    assert found["streamcam_output_state", "cam1", "1", "waiting", 'a "quoted" \\ place'] == 1
    assert found["streamcam_output_state", "cam1", "1", "running", 'a "quoted" \\ place'] == 0
    assert found["streamcam_ready",] == 1
    assert found["streamcam_uptime_seconds",] > 0


def test_metrics_follow_the_naming_rules(client: httpx.Client) -> None:
    """The rules of ``promtool check metrics``, which runs too if it is installed."""
    text = client.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    series = [(s.name, *sorted(s.labels.items())) for family in families for s in family.samples]
    assert len(set(series)) == len(series)
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert re.fullmatch(r"(streamcam|process)(_[a-z0-9]+)+", family.name)
        words = set(family.name.split("_"))
        assert not words & {"ms", "us", "s", "sec", "m", "h", "b", "kb", "mb", "gb", "counter", "gauge", "histogram"}
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            assert (family.type == "histogram") == sample.name.endswith(("_bucket", "_sum", "_count")), sample.name
    if promtool := shutil.which("promtool"):
        command = [promtool, "check", "metrics"]
        checked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_metrics_describe_process_and_build(client: httpx.Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["process_cpu_seconds"].samples[0].value > 0
    assert families["process_open_fds"].samples[0].value > 3
    (build,) = families["streamcam_build_info"].samples
    assert build.value == 1
    assert build.labels["version"] == streamcam.__version__
    assert build.labels["tensorflow"].startswith("2.")


def test_latency_is_a_histogram(client: httpx.Client, controller: FakeController) -> None:
    camera = controller.cameras["cam1"]
    wait_until(lambda: camera.shown > 3)
    camera.paused = True
    text = client.get("/metrics").text
    assert "# TYPE streamcam_latency_seconds histogram" in text
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "streamcam_latency_seconds"]
    samples = [sample for sample in family.samples if sample.labels["camera"] == "cam1"]
    buckets = [(s.labels["le"], s.value) for s in samples if s.name == "streamcam_latency_seconds_bucket"]
    fast, shown = camera.shown // 3, camera.shown
    assert buckets == [("0.05", fast), ("0.1", shown), ("+Inf", shown)]
    plain = {sample.name: sample.value for sample in samples if "le" not in sample.labels}
    assert plain["streamcam_latency_seconds_count"] == shown
    assert plain["streamcam_latency_seconds_sum"] == pytest.approx(0.05 * fast + 0.08 * (shown - fast))
