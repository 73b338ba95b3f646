"""A real run on its page, in a browser: camera, model, frames and controls together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from selenium.webdriver.support.ui import Select

from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.server import Page

from ..live.http_client import wait_until as soon
from ..live.live_runs import Run, job, run_in_thread
from .browser import BrowserPage

MOVING = "yard=lavfi:testsrc2=size=320x240:rate=25"


def wait_until(true: Callable[[], bool]) -> None:
    soon(true, 60)  # a model is compiled meanwhile


@pytest.fixture
def run() -> Iterator[Run]:
    with run_in_thread(job(MOVING)) as run:
        run.wait_for_explained(3)
        yield run


@pytest.fixture
def server(run: Run, browser: BrowserPage) -> Iterator[Page]:
    with serve(run.controller, ServerOptions(port=0)) as server:
        browser.driver.get(server.url)
        wait_until(lambda: len(Select(browser.find("#method")).options) > 1)
        yield server
        browser.driver.get("about:blank")


def test_a_camera_is_shown_and_its_method_changed(browser: BrowserPage, server: Page, run: Run) -> None:
    wait_until(browser.shows_image)
    first = browser.screenshot(".view")
    wait_until(lambda: bool((np.abs(browser.screenshot(".view") - first) > 40).any()))
    wait_until(lambda: browser.text(".badge") == "Live")
    wait_until(lambda: browser.text(".label") in ("class 0", "class 1"))
    assert "evidence" in browser.text("#model")

    Select(browser.find("#method")).select_by_value("saliency")
    wait_until(lambda: run.controller.status().layer == "input")
    run.wait_for_explained(3)
    wait_until(lambda: "input" in browser.text("#model"))

    browser.find(".pause").click()
    wait_until(lambda: run.controller.status().cameras[0].state == "paused")
    wait_until(lambda: browser.text(".badge") == "Paused")
    browser.find(".pause").click()
    run.wait_for_explained(3)
    assert browser.console_errors() == []


def test_metrics_and_frames_are_those_of_the_run(server: Page, run: Run) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        before = client.get("/api/cameras/yard").json()
        run.wait_for_explained(5)
        after = client.get("/api/cameras/yard").json()
        assert after["frames_explained"] >= before["frames_explained"] + 5
        assert (after["width"], after["height"], after["state"]) == (320, 240, "live")
        taken = client.post("/api/cameras/yard/snapshots").json()
        assert taken["status"]["targets"][0]["label"] == "class 1"
        assert client.get("/cameras/yard/frame.jpg").content.startswith(b"\xff\xd8")
        assert 'streamcam_frames_total{camera="yard",stage="explained"}' in client.get("/metrics").text
        assert client.patch("/api/settings", json={"target": ["no such class"]}).status_code == 409
