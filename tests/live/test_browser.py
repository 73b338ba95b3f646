"""The page in a browser: what is done on it reaches the run, and what happens to the run is seen on it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from streamcam.config import COLORMAPS, PageOptions
from streamcam.live import page
from streamcam.live.page import Page, serve
from streamcam.live.status import OutletStatus

from .browsing import Visitor
from .fake_studio import FakeStudio
from .visiting import until


@pytest.fixture
def studio() -> Iterator[FakeStudio]:
    with FakeStudio("cam1") as studio:
        yield studio


@pytest.fixture
def served(studio: FakeStudio, visitor: Visitor) -> Iterator[Page]:
    with serve(studio, PageOptions(port=0)) as served:
        visitor.driver.get(served.url)
        until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        until(lambda: len(Select(visitor.find("#method")).options) > 1)
        yield served
        visitor.driver.get("about:blank")


def test_the_picture_moves(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(visitor.sees_a_picture)
    assert visitor.image().get_property("naturalWidth") == 320
    first = visitor.grabbed()
    until(lambda: bool((np.abs(visitor.grabbed() - first) > 20).any()))
    assert studio.cameras["cam1"].jpegs.watchers == 1
    until(lambda: visitor.text("[data-figure=fps]") == "24.8 fps")
    assert visitor.text(".badge") == "Live"
    assert visitor.text(".label") in [one.label for one in studio.cameras["cam1"].status().top[:3]]
    assert not visitor.find(".stale").is_displayed()
    assert len(visitor.driver.find_elements(By.CSS_SELECTOR, ".legend li")) == 4
    assert visitor.complaints() == []


def test_settings_reach_the_run(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(lambda: visitor.text("#alpha-value") == "60 %")
    visitor.find("#alpha").send_keys(Keys.ARROW_RIGHT * 3)
    until(lambda: studio.settings.alpha == 0.63)
    visitor.find("#caption").click()
    until(lambda: studio.settings.caption is False)
    assert [option.text for option in Select(visitor.find("#colormap")).options] == list(COLORMAPS)
    Select(visitor.find("#colormap")).select_by_value("viridis")
    until(lambda: studio.settings.colormap == "viridis")
    visitor.find("#layer").click()
    until(lambda: len(Select(visitor.find("#layer")).options) == 5)
    visitor.find("#layer").send_keys(Keys.ESCAPE)
    Select(visitor.find("#layer")).select_by_value("block4")
    until(lambda: studio.settings.layer == "block4")
    target = visitor.find("#target")
    target.send_keys(Keys.CONTROL, "a", Keys.NULL, "tabby, tiger cat", Keys.ENTER)
    until(lambda: studio.settings.target == ("tabby", "tiger cat"))
    until(lambda: "Explained: tabby 3.1 %, tiger cat 3.1 %" in visitor.text(".targets"))
    assert visitor.complaints() == []


def test_compiling_is_told_and_opacity_acts_meanwhile(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    studio.compiling.clear()
    try:
        Select(visitor.find("#method")).select_by_value("layercam")
        until(lambda: visitor.text("#busy") == "compiling layercam…")
        visitor.find("#alpha").send_keys(Keys.ARROW_LEFT)
        until(lambda: studio.settings.alpha == 0.59)
        assert studio.settings.method == "gradcam"
        assert visitor.find("#method").get_property("value") == "layercam"
    finally:
        studio.compiling.set()
    until(lambda: studio.settings.method == "layercam")
    until(lambda: visitor.text("#busy") == "")
    assert visitor.complaints() == []


def test_a_refused_target_is_told_and_taken_back(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    target = visitor.find("#target")
    until(lambda: target.get_property("value") == "top")
    target.send_keys(Keys.CONTROL, "a", Keys.NULL, "tabbi", Keys.ENTER)
    until(lambda: visitor.find("#problem").is_displayed())
    assert visitor.text("#problem span") == (
        "there is no class 'tabbi'; streamcam models shows where the names come from"
    )
    until(lambda: target.get_property("value") == "top")
    assert studio.settings.target == ("top",)
    visitor.find("#problem button").click()
    assert not visitor.find("#problem").is_displayed()
    # A browser notes each answer that is a refusal.
    assert all("409" in line for line in visitor.complaints())


def test_what_others_change_is_seen(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    studio.change(method="eigencam", alpha=0.2, target=("espresso",))
    until(lambda: visitor.find("#method").get_property("value") == "eigencam")
    until(lambda: visitor.text("#alpha-value") == "20 %")
    until(lambda: visitor.find("#target").get_property("value") == "espresso")


def test_pause(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(visitor.sees_a_picture)
    button = visitor.find(".pause")
    button.click()
    until(lambda: studio.cameras["cam1"].paused)
    until(
        lambda: (
            (visitor.text(".badge"), button.text, button.get_attribute("aria-pressed")) == ("Paused", "Resume", "true")
        )
    )
    # Who comes now sees what stands.
    visitor.driver.refresh()
    until(visitor.sees_a_picture)
    assert studio.cameras["cam1"].paused
    until(lambda: visitor.text(".pause") == "Resume")
    visitor.find(".pause").click()
    until(lambda: not studio.cameras["cam1"].paused)
    until(lambda: visitor.text(".badge") == "Live")


def test_snapshot(visitor: Visitor, served: Page) -> None:
    until(visitor.sees_a_picture)
    visitor.find(".snapshot").click()
    until(lambda: visitor.find("#taken").is_displayed())
    until(lambda: visitor.find("#taken img").get_property("naturalWidth") == 320)
    picture, maps = (visitor.find(f"#taken .{kind}") for kind in ("picture", "map"))
    assert picture.get_attribute("download") == "cam1-1.png"
    assert httpx.get(picture.get_attribute("href")).content.startswith(b"\x89PNG")
    assert np.load(io.BytesIO(httpx.get(maps.get_attribute("href")).content)).dtype == np.float32
    visitor.find("#taken form button").click()
    assert not visitor.find("#taken").is_displayed()
    assert visitor.complaints() == []


def test_an_old_picture_is_not_taken_for_a_live_one(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    until(visitor.sees_a_picture)
    camera = studio.cameras["cam1"]
    camera.state, camera.trouble = "lost", "the server does not answer"
    until(lambda: visitor.text(".badge") == "Reconnecting")
    assert re.fullmatch(r"Last picture, \d+ s old · the server does not answer", visitor.text(".stale"))
    assert "grayscale(1)" in visitor.image().value_of_css_property("filter")
    camera.state, camera.trouble = "live", ""
    until(lambda: visitor.text(".badge") == "Live")
    assert visitor.image().value_of_css_property("filter") == "none"
    assert not visitor.find(".stale").is_displayed()


def test_a_lost_connection_is_told_and_found_again(visitor: Visitor, studio: FakeStudio) -> None:
    with serve(studio, PageOptions(port=0)) as served:
        visitor.driver.get(served.url)
        until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        until(visitor.sees_a_picture)
    until(lambda: visitor.text("#offline") == "Connection lost, trying again…")
    assert visitor.text(".badge") == "No connection"
    assert "grayscale(1)" in visitor.image().value_of_css_property("filter")
    port = urlsplit(served.url).port
    assert port
    with serve(studio, PageOptions(port=port)):
        until(lambda: visitor.text(".badge") == "Live")
        assert not visitor.find("#offline").is_displayed()
        until(visitor.sees_a_picture)
        first = visitor.grabbed()
        until(lambda: bool((np.abs(visitor.grabbed() - first) > 20).any()))
        visitor.driver.get("about:blank")


def test_a_hidden_page_watches_nothing(visitor: Visitor, served: Page, studio: FakeStudio) -> None:
    jpegs = studio.cameras["cam1"].jpegs
    until(lambda: jpegs.watchers == 1)
    first = visitor.driver.current_window_handle
    visitor.driver.switch_to.new_window("tab")
    until(lambda: jpegs.watchers == 0)
    visitor.driver.close()
    visitor.driver.switch_to.window(first)
    until(lambda: jpegs.watchers == 1)
    until(visitor.sees_a_picture)


def test_every_control_is_reached_by_keyboard(visitor: Visitor, served: Page) -> None:
    wanted = [
        one
        for one in visitor.driver.find_elements(By.CSS_SELECTOR, "a[href], button, input, select")
        if one.is_displayed() and one.is_enabled()
    ]
    assert len(wanted) >= 12
    reached: set[WebElement] = set()
    for _ in range(len(wanted) + 2):
        visitor.driver.switch_to.active_element.send_keys(Keys.TAB)
        one = visitor.driver.switch_to.active_element
        if one.tag_name != "body":
            assert one.value_of_css_property("outline-style") == "solid", one.get_attribute("outerHTML")
            assert one.accessible_name, one.get_attribute("outerHTML")
            reached.add(one)
    assert [one.accessible_name for one in wanted if one not in reached] == []


def test_more_cameras_than_connections(visitor: Visitor) -> None:
    with FakeStudio(*(f"cam{n}" for n in range(1, 10)), rate=8) as studio, serve(studio, PageOptions(port=0)) as served:
        visitor.driver.get(served.url)
        until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 9)
        visible = [f"[data-camera=cam{n}] img" for n in range(1, 4)]
        until(lambda: all(visitor.find(one).get_property("naturalWidth") == 320 for one in visible))
        before = [visitor.find(one).get_property("src") for one in visible]
        until(
            lambda: all(visitor.find(one).get_property("src") != was for one, was in zip(visible, before, strict=True))
        )
        studio.cameras["cam9"].state = "lost"
        until(lambda: visitor.find("[data-camera=cam9]").get_attribute("data-state") == "lost")
        visitor.find("#caption").click()
        until(lambda: studio.settings.caption is False)
        assert visitor.complaints() == []
        visitor.driver.get("about:blank")


def test_it_fits_a_phone(visitor: Visitor) -> None:
    outlets = (OutletStatus("cam1", "rtmp://***@" + "long." * 20 + "example/app", "waiting", "no answer " * 9),)
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with FakeStudio("cam1", "a-camera-with-a-very-long-name-indeed-0123456789", outlets=outlets) as studio:
        studio.cameras["cam1"].trouble = "unbroken" * 30
        with serve(studio, PageOptions(port=0)) as served:
            try:
                visitor.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                visitor.driver.get(served.url)
                until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 2)
                assert not visitor.find("#alpha").is_displayed()
                visitor.find("#more").click()
                assert visitor.find("#alpha").is_displayed()
                assert visitor.driver.execute_script("return document.documentElement.scrollWidth") == 360
            finally:
                visitor.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
                visitor.driver.get("about:blank")


def test_with_a_token_the_page_works(visitor: Visitor, studio: FakeStudio) -> None:
    with serve(studio, PageOptions(port=0, token="secret")) as served:
        visitor.driver.get(f"{served.url}?token=secret")
        until(lambda: len(visitor.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        until(visitor.sees_a_picture)
        assert "secret" not in visitor.driver.current_url
        visitor.find("#caption").click()
        until(lambda: studio.settings.caption is False)
        assert visitor.complaints() == []
        visitor.driver.get("about:blank")


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_can_be_read(scheme: int) -> None:
    style = (Path(page.__file__).parent / "static" / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("ground", "raised"):
        for name in ("text", "quiet", "accent", "warn", "bad"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in ("edge", *(f"c{n}" for n in range(8))):
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
    assert contrast(colours["bad"], colours["bad-ground"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """As in WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
