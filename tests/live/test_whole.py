"""A real run on its page, in a browser: camera, model, picture and controls together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from selenium.webdriver.support.ui import Select

from streamcam.config import PageOptions
from streamcam.live.page import Page, serve

from .browsing import Visitor
from .runs import Run, job, running
from .visiting import until as soon

MOVING = "yard=lavfi:testsrc2=size=320x240:rate=25"


def until(true: Callable[[], bool]) -> None:
    soon(true, 60)  # a model is compiled meanwhile


@pytest.fixture
def run() -> Iterator[Run]:
    with running(job(MOVING)) as run:
        run.explained(3)
        yield run


@pytest.fixture
def served(run: Run, visitor: Visitor) -> Iterator[Page]:
    with serve(run.studio, PageOptions(port=0)) as served:
        visitor.driver.get(served.url)
        until(lambda: len(Select(visitor.find("#method")).options) > 1)
        yield served
        visitor.driver.get("about:blank")


def test_a_camera_is_seen_and_its_method_changed(visitor: Visitor, served: Page, run: Run) -> None:
    until(visitor.sees_a_picture)
    first = visitor.grabbed(".view")
    until(lambda: bool((np.abs(visitor.grabbed(".view") - first) > 40).any()))
    until(lambda: visitor.text(".badge") == "Live")
    until(lambda: visitor.text(".label") in ("class 0", "class 1"))
    assert "evidence" in visitor.text("#model")

    Select(visitor.find("#method")).select_by_value("saliency")
    until(lambda: run.studio.status().layer == "input")
    run.explained(3)
    until(lambda: "input" in visitor.text("#model"))

    visitor.find(".pause").click()
    until(lambda: run.studio.status().cameras[0].state == "paused")
    until(lambda: visitor.text(".badge") == "Paused")
    visitor.find(".pause").click()
    run.explained(3)
    assert visitor.complaints() == []


def test_figures_and_pictures_are_those_of_the_run(served: Page, run: Run) -> None:
    with httpx.Client(base_url=served.url, timeout=30) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        before = client.get("/api/cameras/yard").json()
        run.explained(5)
        after = client.get("/api/cameras/yard").json()
        assert after["frames_explained"] >= before["frames_explained"] + 5
        assert (after["width"], after["height"], after["state"]) == (320, 240, "live")
        taken = client.post("/api/cameras/yard/snapshots").json()
        assert taken["status"]["targets"][0]["label"] == "class 1"
        assert client.get("/cameras/yard/picture.jpg").content.startswith(b"\xff\xd8")
        assert 'streamcam_frames_total{camera="yard",stage="explained"}' in client.get("/metrics").text
        assert client.patch("/api/settings", json={"target": ["no such class"]}).status_code == 409
