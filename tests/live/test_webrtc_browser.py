"""The page in a browser, by WebRTC: video plays where it can be had, images take its place where not."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from streamcam.config import PageOptions
from streamcam.live.page import Page, app, peers, serve

from .browsing import Visitor
from .fake_studio import FakeStudio
from .visiting import until

pytest.importorskip("aiortc", reason="needs aiortc: pip install 'streamcam[webrtc]'")
if not pytest.importorskip("aioice.ice").get_host_addresses(True, True):
    pytest.skip("needs a network address beside that of this machine alone", allow_module_level=True)

from streamcam.live.page import peer

VIDEO = ".view video"


@pytest.fixture
def studio() -> Iterator[FakeStudio]:
    with FakeStudio("cam1", webrtc=True) as studio:
        yield studio


@pytest.fixture
def served(studio: FakeStudio, visitor: Visitor) -> Iterator[Page]:
    with serve(studio, PageOptions(port=0)) as served:
        look(visitor, served.url)
        yield served
        visitor.driver.get("about:blank")


def look(visitor: Visitor, url: str) -> None:
    visitor.driver.get(url)
    until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)


def plays(visitor: Visitor) -> bool:
    return visitor.find(VIDEO).is_displayed() and visitor.text("[data-figure=by]") == "WebRTC"


def shows_images(visitor: Visitor) -> bool:
    return visitor.sees_a_picture("img") and visitor.text("[data-figure=by]") == "MJPEG"


def moves(visitor: Visitor, selector: str) -> bool:
    first = visitor.grabbed(selector)
    until(lambda: bool((np.abs(visitor.grabbed(selector) - first) > 20).any()))
    return True


def test_video_plays(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(lambda: plays(visitor))
    video, camera = visitor.find(VIDEO), studio.cameras["cam1"]
    assert (video.get_property("videoWidth"), video.get_property("videoHeight")) == (320, 180)
    assert not visitor.image().is_displayed()
    until(lambda: (camera.pictures.watchers, camera.jpegs.watchers) == (1, 0))
    time = video.get_property("currentTime")
    until(lambda: video.get_property("currentTime") > time + 0.2)
    assert moves(visitor, VIDEO)
    assert visitor.text(".badge") == "Live"
    assert visitor.complaints() == []
    visitor.driver.get("about:blank")
    until(lambda: camera.pictures.watchers == 0, 3)


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
def test_colours_are_right(visitor: Visitor, size: tuple[int, int]) -> None:
    """Whatever the size: browsers take high definition for BT.601, too."""
    at = [(size[0] * x // 8, size[1] * y // 8) for x in (1, 4, 7) for y in (1, 4, 7)]
    with FakeStudio("cam1", size=size, rate=5, webrtc=True) as studio:
        studio.settings = dataclasses.replace(studio.settings, alpha=0.0)
        with serve(studio, PageOptions(port=0)) as served:
            look(visitor, served.url)
            until(lambda: plays(visitor))
            expected = [studio.cameras["cam1"].pixel(place) for place in at]
            until(lambda: bool(np.abs(np.subtract(seen(visitor, at), expected)).max() < 8))
            visitor.driver.get("about:blank")


def seen(visitor: Visitor, at: list[tuple[int, int]]) -> list[list[int]]:
    """Colours of the video at some places."""
    colours: list[list[int]] = visitor.driver.execute_script(
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
    return colours


def test_images_where_it_is_refused(visitor: Visitor, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_MOST", 0)
    with serve(studio, PageOptions(port=0)) as served:
        look(visitor, served.url)
        until(lambda: shows_images(visitor))
        assert moves(visitor, ".view img")
        assert not visitor.find(VIDEO).is_displayed()
        assert not visitor.find("#problem").is_displayed()
        # A browser notes each answer that is a refusal.
        complaints = visitor.complaints()
        assert len(complaints) == 1
        assert "409" in complaints[0]
        visitor.driver.get("about:blank")


def test_it_is_tried_again(
    visitor: Visitor, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hasty = shutil.copytree(app._STATIC, tmp_path / "static")
    script = (hasty / "camera.js").read_text()
    assert script.count("30_000") == 1
    (hasty / "camera.js").write_text(script.replace("30_000", "300"))
    monkeypatch.setattr(app, "_STATIC", hasty)
    monkeypatch.setattr(peers, "_MOST", 0)
    with serve(studio, PageOptions(port=0)) as served:
        look(visitor, served.url)
        until(lambda: shows_images(visitor))
        monkeypatch.setattr(peers, "_MOST", 8)
        until(lambda: plays(visitor))
        until(lambda: studio.cameras["cam1"].jpegs.watchers == 0)
        visitor.driver.get("about:blank")


def test_images_when_it_falls_silent(
    visitor: Visitor, served: Page, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: plays(visitor))
    monkeypatch.setattr(peer, "_STANDING", 3600.0)
    studio.webrtc = False  # nothing more comes this way
    until(lambda: shows_images(visitor))
    assert not visitor.find(VIDEO).is_displayed()
    assert moves(visitor, ".view img")
    until(lambda: studio.cameras["cam1"].pictures.watchers == 0)
    assert visitor.complaints() == []


def test_a_hidden_page_watches_nothing(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    until(lambda: plays(visitor))
    first = visitor.driver.current_window_handle
    visitor.driver.switch_to.new_window("tab")
    until(lambda: camera.pictures.watchers + camera.jpegs.watchers == 0)
    visitor.driver.close()
    visitor.driver.switch_to.window(first)
    until(lambda: plays(visitor))
    assert moves(visitor, VIDEO)


def test_pause(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(lambda: plays(visitor))
    visitor.find(".pause").click()
    until(lambda: visitor.text(".badge") == "Paused")
    # Who comes now sees what stands.
    visitor.driver.refresh()
    until(lambda: bool(visitor.driver.find_elements(By.CSS_SELECTOR, VIDEO)) and plays(visitor))
    assert visitor.grabbed(VIDEO)[20:-20].mean() > 60
    until(lambda: visitor.text(".pause") == "Resume")
    visitor.find(".pause").click()
    assert moves(visitor, VIDEO)
    assert plays(visitor)


def test_an_old_picture_is_not_taken_for_a_live_one(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(lambda: plays(visitor))
    studio.cameras["cam1"].state = "lost"
    until(lambda: visitor.text(".badge") == "Reconnecting")
    assert visitor.text(".stale").startswith("Last picture, ")
    assert "grayscale(1)" in visitor.find(VIDEO).value_of_css_property("filter")
    studio.cameras["cam1"].state = "live"
    until(lambda: visitor.text(".badge") == "Live")
    assert visitor.find(VIDEO).value_of_css_property("filter") == "none"


def test_a_lost_connection_is_told_and_found_again(visitor: Visitor, studio: FakeStudio) -> None:
    with serve(studio, PageOptions(port=0)) as served:
        look(visitor, served.url)
        until(lambda: plays(visitor))
    until(lambda: visitor.text("#offline") == "Connection lost, trying again…")
    assert visitor.text(".badge") == "No connection"
    assert "grayscale(1)" in visitor.find(VIDEO).value_of_css_property("filter")
    assert visitor.text(".stale").startswith("Last picture, ")
    port = urlsplit(served.url).port
    assert port
    with serve(studio, PageOptions(port=port)):
        until(lambda: visitor.text(".badge") == "Live" and plays(visitor))
        assert moves(visitor, VIDEO)
        visitor.driver.get("about:blank")
