"""What the page and its API answer."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from streamcam import web as page
from streamcam.live.status import OutputStatus
from streamcam.options import ServerOptions
from streamcam.web import Page, serve

from ..live.fake_controller import LABELS, LAYERS, METHODS, FakeController
from ..live.http_client import wait_until


@pytest.fixture
def controller() -> Iterator[FakeController]:
    outputs = (OutputStatus("cam1", 'a "quoted" \\ place', "waiting", "no", 7, 2, 1),)
    with FakeController("cam1", "cam2", size=(160, 96), outputs=outputs) as controller:
        yield controller


@pytest.fixture
def server(controller: FakeController) -> Iterator[Page]:
    with serve(controller, ServerOptions(port=0)) as server:
        yield server


@pytest.fixture
def client(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


def test_page_and_its_files_are_served(client: httpx.Client) -> None:
    index = client.get("/")
    assert index.status_code == 200
    assert index.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in index.headers["content-security-policy"]
    for file in ("style.css", "script.js", "camera.js", "settings.js", "chart.js", "ask.js"):
        assert client.get(f"/static/{file}").status_code == 200
    for outside in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/nothing.js"):
        assert client.get(outside).status_code == 404


def test_page_needs_nothing_from_elsewhere() -> None:
    for file in (Path(page.__file__).parent / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in "".join(line for line in text.splitlines() if "http" in line), file.name


def test_status_is_the_studios(client: httpx.Client, controller: FakeController) -> None:
    status = client.get("/api/status").json()
    assert [camera["name"] for camera in status["cameras"]] == ["cam1", "cam2"]
    assert status["settings"] == {
        "method": "gradcam",
        "layer": "auto",
        "target": ["top"],
        "alpha": 0.6,
        "colormap": "turbo",
        "caption": True,
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
        wait_until(lambda: client.get("/api/status").json()["busy"] == "compiling eigencam")
        assert client.patch("/api/settings", json={"alpha": 0.25}).json()["alpha"] == 0.25
        assert answers == []
    finally:
        controller.compiling.set()
        change.join()
    assert answers == [200]


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        ({"method": "gradcm"}, 409, "method 'gradcm' is not known"),
        ({"target": ["tabbi"]}, 409, "there is no class 'tabbi'"),
        ({"target": []}, 422, "target: List should have at least 1 item"),
        ({"alpha": 1.5}, 422, "alpha: Input should be less than or equal to 1"),
        ({"alpha": "0.5"}, 422, "alpha: Input should be a valid number"),
        ({"colormap": "grey"}, 422, "colormap: Input should be"),
        ({"opacity": 1}, 422, "opacity: Extra inputs are not permitted"),
        ({"target": ["\ud800"]}, 422, "target.0: Input should be a valid string"),
        ([], 422, "body: Input should be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    client: httpx.Client, controller: FakeController, content: object, status: int, told: str
) -> None:
    before = controller.settings
    answer = client.patch("/api/settings", content=json.dumps(content), headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(told)
    assert "\n" not in answer.json()["detail"]
    assert controller.settings == before


@pytest.mark.parametrize("content", [{"target": ["os:getcwd"]}, {"method": "package.module:function"}])
def test_visitors_name_no_code(client: httpx.Client, controller: FakeController, content: object) -> None:
    answer = client.patch("/api/settings", json=content)
    assert answer.status_code == 409
    assert "is a function" in answer.json()["detail"]
    assert controller.changes == []


def test_what_is_not_possible_now_is_a_conflict(client: httpx.Client, controller: FakeController) -> None:
    controller.ready = False
    answer = client.patch("/api/settings", json={"method": "layercam"})
    assert answer.status_code == 409
    assert answer.json() == {"detail": "the model is not ready yet; try again in a moment"}


def test_a_bug_is_told_without_a_traceback(
    client: httpx.Client, controller: FakeController, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(controller, "status", lambda: 1 / 0)
    answer = client.get("/api/status")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "this should not have happened: ZeroDivisionError: division by zero"
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
    assert Image.open(io.BytesIO(client.get(taken["picture"]).content)).size == (160, 96)
    assert np.load(io.BytesIO(client.get(taken["map"]).content)).shape == (1, 7, 7)
    for _ in range(15):
        assert client.post("/api/cameras/cam2/snapshots").status_code == 201
    assert client.get(taken["picture"]).status_code == 200
    client.post("/api/cameras/cam2/snapshots")
    assert client.get(taken["picture"]).status_code == 404
    assert client.get(taken["map"]).status_code == 404


def test_no_snapshot_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamcam.web.app._PATIENCE", 0.2)
    controller = FakeController("cam1")  # not entered: no picture ever comes
    with serve(controller, ServerOptions(port=0)) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/api/cameras/cam1/snapshots").status_code == 503
        answer = client.get("/cameras/cam1/picture.jpg")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "camera 'cam1' has no picture yet"}
        assert controller.cameras["cam1"].jpegs.num_subscribers == 0


def test_ready_when_every_camera_shows_pictures(client: httpx.Client, controller: FakeController) -> None:
    wait_until(lambda: all(camera.shown for camera in controller.cameras.values()))
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    camera = controller.cameras["cam1"]
    camera.state, camera.last_error = "lost", "no answer"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["camera 'cam1' is lost: no answer"]}
    camera.state = "ended"
    controller.cameras["cam2"].paused = True
    assert client.get("/readyz").status_code == 200
    controller.ready = False
    assert client.get("/readyz").json()["reasons"] == ["the model is being compiled"]
    assert client.get("/healthz").status_code == 200


def test_figures_are_prometheus(client: httpx.Client, controller: FakeController) -> None:
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
    assert found["streamcam_age_seconds", "cam1", "0.99"] == pytest.approx(0.088)
    assert found["streamcam_watchers", "cam1"] == 0
    assert found["streamcam_camera_live", "cam2"] == 0
    assert found["streamcam_outlet_frames_total", "cam1", 'a "quoted" \\ place'] == 7
    assert found["streamcam_outlet_dropped_total", "cam1", 'a "quoted" \\ place'] == 2
    assert found["streamcam_outlet_restarts_total", "cam1", 'a "quoted" \\ place'] == 1
    assert found["streamcam_outlet_state", "cam1", "waiting", 'a "quoted" \\ place'] == 1
    assert found["streamcam_outlet_state", "cam1", "running", 'a "quoted" \\ place'] == 0
    assert found["streamcam_ready",] == 1
    assert found["streamcam_uptime_seconds",] > 0
