"""The page in a browser, by WebRTC: video if a session is possible, images if not."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from streamcam.options import ServerOptions
from streamcam.web import app, serve, webrtc
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..live.http_client import wait_until
from .browser import BrowserPage

pytest.importorskip("aiortc", reason="needs aiortc: pip install 'streamcam[webrtc]'")
if not pytest.importorskip("aioice.ice").get_host_addresses(True, True):
    pytest.skip("needs a network address beside that of this machine alone", allow_module_level=True)

from streamcam.web import webrtc_session

VIDEO = ".view video"


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with FakeController("cam1", webrtc=True) as controller:
        yield controller


@pytest.fixture
def server(controller: FakeController, browser: BrowserPage) -> Iterator[Page]:
    with serve(controller, ServerOptions(port=0)) as server:
        open_page(browser, server.url)
        yield server
        browser.driver.get("about:blank")


def open_page(browser: BrowserPage, url: str) -> None:
    browser.driver.get(url)
    wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)


def shows_webrtc(browser: BrowserPage) -> bool:
    return browser.find(VIDEO).is_displayed() and browser.text("[data-metric=by]") == "WebRTC"


def shows_mjpeg(browser: BrowserPage) -> bool:
    return browser.shows_image("img") and browser.text("[data-metric=by]") == "MJPEG"


def moves(browser: BrowserPage, selector: str) -> bool:
    first = browser.screenshot(selector)
    wait_until(lambda: bool((np.abs(browser.screenshot(selector) - first) > 20).any()))
    return True


def test_video_plays(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(lambda: shows_webrtc(browser))
    video, camera = browser.find(VIDEO), controller.cameras["cam1"]
    assert (video.get_property("videoWidth"), video.get_property("videoHeight")) == (320, 180)
    assert not browser.image().is_displayed()
    wait_until(lambda: (camera.frames.num_subscribers, camera.jpegs.num_subscribers) == (1, 0))
    time = video.get_property("currentTime")
    wait_until(lambda: video.get_property("currentTime") > time + 0.2)
    assert moves(browser, VIDEO)
    assert browser.text(".badge") == "Live"
    assert browser.console_errors() == []
    browser.driver.get("about:blank")
    wait_until(lambda: camera.frames.num_subscribers == 0, 3)


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
def test_colors_are_right(browser: BrowserPage, size: tuple[int, int]) -> None:
    """At both sizes: browsers assume BT.601 for high definition, too."""
    at = [(size[0] * x // 8, size[1] * y // 8) for x in (1, 4, 7) for y in (1, 4, 7)]
    with FakeController("cam1", size=size, fps=5, webrtc=True) as controller:
        controller.settings = dataclasses.replace(controller.settings, alpha=0.0)
        with serve(controller, ServerOptions(port=0)) as server:
            open_page(browser, server.url)
            wait_until(lambda: shows_webrtc(browser))
            expected = [controller.cameras["cam1"].pixel(place) for place in at]
            wait_until(lambda: bool(np.abs(np.subtract(video_colors(browser, at), expected)).max() < 8))
            browser.driver.get("about:blank")


def video_colors(browser: BrowserPage, at: list[tuple[int, int]]) -> list[list[int]]:
    """Colors of the video at some places."""
    colors: list[list[int]] = browser.driver.execute_script(
        """
        const video = document.querySelector(arguments[0]);
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        const drawn = canvas.getContext("2d");
        drawn.drawImage(video, 0, 0);
        return arguments[1].map(([x, y]) => [...drawn.getImageData(x, y, 1, 1).data].slice(0, 3));
        """,
        VIDEO,
        at,
    )
    return colors


def test_images_if_webrtc_is_refused(
    browser: BrowserPage, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc, "_MAX_PEERS", 0)
    with serve(controller, ServerOptions(port=0)) as server:
        open_page(browser, server.url)
        wait_until(lambda: shows_mjpeg(browser))
        assert moves(browser, ".view img")
        assert not browser.find(VIDEO).is_displayed()
        assert not browser.find("#error").is_displayed()
        # Chromium logs each refused request.
        errors = browser.console_errors()
        assert len(errors) == 1
        assert "409" in errors[0]
        browser.driver.get("about:blank")


def test_webrtc_is_tried_again(
    browser: BrowserPage, controller: FakeController, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    static = shutil.copytree(app._STATIC, tmp_path / "static")
    script = (static / "camera.js").read_text()
    assert script.count("30_000") == 1
    (static / "camera.js").write_text(script.replace("30_000", "300"))
    monkeypatch.setattr(app, "_STATIC", static)
    monkeypatch.setattr(webrtc, "_MAX_PEERS", 0)
    with serve(controller, ServerOptions(port=0)) as server:
        open_page(browser, server.url)
        wait_until(lambda: shows_mjpeg(browser))
        monkeypatch.setattr(webrtc, "_MAX_PEERS", 8)
        wait_until(lambda: shows_webrtc(browser))
        wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 0)
        browser.driver.get("about:blank")


def test_images_if_the_session_stalls(
    browser: BrowserPage, server: Page, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: shows_webrtc(browser))
    monkeypatch.setattr(webrtc_session, "_RESEND_SECONDS", 3600.0)
    controller.webrtc = False  # no more frames by WebRTC
    wait_until(lambda: shows_mjpeg(browser))
    assert not browser.find(VIDEO).is_displayed()
    assert moves(browser, ".view img")
    wait_until(lambda: controller.cameras["cam1"].frames.num_subscribers == 0)
    assert browser.console_errors() == []


def test_a_hidden_page_opens_no_stream(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    camera = controller.cameras["cam1"]
    wait_until(lambda: shows_webrtc(browser))
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    wait_until(lambda: camera.frames.num_subscribers + camera.jpegs.num_subscribers == 0)
    browser.driver.close()
    browser.driver.switch_to.window(first)
    wait_until(lambda: shows_webrtc(browser))
    assert moves(browser, VIDEO)


def test_pause(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(lambda: shows_webrtc(browser))
    browser.find(".pause").click()
    wait_until(lambda: browser.text(".badge") == "Paused")
    # A new viewer gets the shown frame.
    browser.driver.refresh()
    wait_until(lambda: bool(browser.driver.find_elements(By.CSS_SELECTOR, VIDEO)) and shows_webrtc(browser))
    assert browser.screenshot(VIDEO)[20:-20].mean() > 60
    wait_until(lambda: browser.text(".pause") == "Resume")
    browser.find(".pause").click()
    assert moves(browser, VIDEO)
    assert shows_webrtc(browser)


def test_an_old_frame_is_marked(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(lambda: shows_webrtc(browser))
    controller.cameras["cam1"].state = "lost"
    wait_until(lambda: browser.text(".badge") == "Reconnecting")
    assert browser.text(".stale").startswith("Last frame, ")
    assert "grayscale(1)" in browser.find(VIDEO).value_of_css_property("filter")
    controller.cameras["cam1"].state = "live"
    wait_until(lambda: browser.text(".badge") == "Live")
    assert browser.find(VIDEO).value_of_css_property("filter") == "none"


def test_a_lost_connection_is_shown_and_recovers(browser: BrowserPage, controller: FakeController) -> None:
    with serve(controller, ServerOptions(port=0)) as server:
        open_page(browser, server.url)
        wait_until(lambda: shows_webrtc(browser))
    wait_until(lambda: browser.text("#offline") == "Connection lost, reconnecting…")
    assert browser.text(".badge") == "No connection"
    assert "grayscale(1)" in browser.find(VIDEO).value_of_css_property("filter")
    assert browser.text(".stale").startswith("Last frame, ")
    port = urlsplit(server.url).port
    assert port
    with serve(controller, ServerOptions(port=port)):
        wait_until(lambda: browser.text(".badge") == "Live" and shows_webrtc(browser))
        assert moves(browser, VIDEO)
        browser.driver.get("about:blank")
