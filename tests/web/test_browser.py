"""The page in a browser: its controls change the run, and it shows the run's state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from streamcam import web as page
from streamcam.live.status import OutputStatus
from streamcam.options import COLORMAPS, CaptionPosition, ServerOptions
from streamcam.web import serve
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..waiting import wait_until
from .browser import BrowserPage

pytestmark = pytest.mark.browser


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with FakeController("cam1") as controller:
        yield controller


@pytest.fixture
def server(controller: FakeController, browser: BrowserPage) -> Iterator[Page]:
    with serve(controller, ServerOptions(port=0)) as server:
        browser.driver.get(server.url)
        wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        wait_until(lambda: len(Select(browser.find("#method")).options) > 1)
        yield server
        browser.driver.get("about:blank")


def test_the_image_moves(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(browser.shows_image)
    assert browser.image().get_property("naturalWidth") == 320
    first = browser.screenshot()
    wait_until(lambda: bool((np.abs(browser.screenshot() - first) > 20).any()))
    assert controller.cameras["cam1"].jpegs.num_subscribers == 1
    wait_until(lambda: browser.text("[data-metric=fps]") == "24.8 fps")
    assert browser.text(".badge") == "Live"
    assert browser.text(".label") in [one.label for one in controller.cameras["cam1"].status().top[:3]]
    assert not browser.find(".stale").is_displayed()
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".legend li")) == 4
    assert browser.console_errors() == []


def test_settings_reach_the_run(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(lambda: browser.text("#alpha-value") == "60 %")
    browser.find("#alpha").send_keys(Keys.ARROW_RIGHT * 3)
    wait_until(lambda: controller.settings.alpha == 0.63)
    browser.find("#caption").click()
    wait_until(lambda: controller.settings.caption is False)
    assert [option.text for option in Select(browser.find("#colormap")).options] == list(COLORMAPS)
    Select(browser.find("#colormap")).select_by_value("viridis")
    wait_until(lambda: controller.settings.colormap == "viridis")
    corners = Select(browser.find("#caption_position"))
    assert [option.get_attribute("value") for option in corners.options] == list(get_args(CaptionPosition))
    assert corners.first_selected_option.text == "Top left"
    corners.select_by_value("bottom-right")
    wait_until(lambda: controller.settings.caption_position == "bottom-right")
    browser.find("#layer").click()
    wait_until(lambda: len(Select(browser.find("#layer")).options) == 5)
    browser.find("#layer").send_keys(Keys.ESCAPE)
    Select(browser.find("#layer")).select_by_value("block4")
    wait_until(lambda: controller.settings.layer == "block4")
    target = browser.find("#target")
    target.send_keys(Keys.CONTROL, "a", Keys.NULL, "tabby, tiger cat", Keys.ENTER)
    wait_until(lambda: controller.settings.target == ("tabby", "tiger cat"))
    wait_until(lambda: "Explained: tabby 3.1 %, tiger cat 3.1 %" in browser.text(".targets"))
    assert browser.console_errors() == []


def test_compiling_is_shown_and_opacity_acts_meanwhile(
    browser: BrowserPage, server: Page, controller: FakeController
) -> None:
    controller.compiling.clear()
    try:
        Select(browser.find("#method")).select_by_value("layercam")
        wait_until(lambda: browser.text("#activity") == "compiling layercam…")
        browser.find("#alpha").send_keys(Keys.ARROW_LEFT)
        wait_until(lambda: controller.settings.alpha == 0.59)
        assert controller.settings.method == "gradcam"
        assert browser.find("#method").get_property("value") == "layercam"
    finally:
        controller.compiling.set()
    wait_until(lambda: controller.settings.method == "layercam")
    wait_until(lambda: browser.text("#activity") == "")
    assert browser.console_errors() == []


def test_a_refused_target_stays_in_its_field_with_the_error(
    browser: BrowserPage, server: Page, controller: FakeController
) -> None:
    target = browser.find("#target")
    wait_until(lambda: target.get_property("value") == "top")
    target.send_keys(Keys.CONTROL, "a", Keys.NULL, "tabbi", Keys.ENTER)
    wait_until(lambda: browser.text("#target-error").startswith("unknown class 'tabbi'"))
    assert "target-error" in target.get_attribute("aria-describedby")
    assert target.get_attribute("aria-invalid") == "true"
    assert not browser.find("#error").is_displayed()
    shown = controller.cameras["cam1"].shown
    browser.find("#caption").click()
    wait_until(lambda: controller.settings.caption is False)
    wait_until(lambda: controller.cameras["cam1"].shown > shown + 25)  # four polls of the status
    assert target.get_property("value") == "tabbi"
    assert controller.settings.target == ("top",)
    target.send_keys(Keys.BACKSPACE, "y", Keys.ENTER)
    wait_until(lambda: controller.settings.target == ("tabby",))
    wait_until(lambda: browser.text("#target-error") == "")
    assert target.get_attribute("aria-invalid") == "false"
    target.send_keys(Keys.CONTROL, "a", Keys.NULL, "tabbi", Keys.ENTER)
    wait_until(lambda: browser.text("#target-error") != "")
    target.send_keys(Keys.ESCAPE)
    wait_until(lambda: target.get_property("value") == "tabby")
    assert browser.text("#target-error") == ""


def test_the_chart_survives_a_reload(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    def oldest(compared_to: str) -> bool:
        """Whether the oldest value of the chart is older than a time."""
        return browser.driver.execute_script(
            f"""const {{ charts }} = await import(new URL("static/chart.js", document.baseURI));
            const [chart] = charts;
            return chart?.values.length > 0 && chart.values[0].at < {compared_to};"""
        )

    wait_until(lambda: oldest("Date.now() - 2500"))
    browser.driver.refresh()
    wait_until(lambda: oldest("performance.timeOrigin"))
    assert browser.text(".span") == "1 min"
    browser.find(".span").click()
    assert browser.text(".span") == "10 min"
    assert browser.console_errors() == []


def test_the_page_names_the_start_of_the_latency(
    browser: BrowserPage, server: Page, controller: FakeController
) -> None:
    wait_until(lambda: browser.text("[data-metric=from]") == "arrival")
    controller.cameras["cam1"].latency_source = "capture"
    wait_until(lambda: browser.text("[data-metric=from]") == "capture")


def test_the_frame_is_not_covered(browser: BrowserPage, server: Page) -> None:
    wait_until(browser.shows_image)
    covering = browser.driver.execute_script(
        """const box = document.querySelector(".view img").getBoundingClientRect();
        const points = [[1, 1], [box.width - 1, 1], [1, box.height - 1], [box.width - 1, box.height - 1]];
        return points.map(([x, y]) => document.elementFromPoint(box.x + x, box.y + y).tagName);"""
    )
    assert covering == ["IMG"] * 4


def test_changes_by_others_are_shown(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    controller.change(method="eigencam", alpha=0.2, target=("espresso",))
    wait_until(lambda: browser.find("#method").get_property("value") == "eigencam")
    wait_until(lambda: browser.text("#alpha-value") == "20 %")
    wait_until(lambda: browser.find("#target").get_property("value") == "espresso")


def test_pause(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(browser.shows_image)
    button = browser.find(".pause")
    button.click()
    wait_until(lambda: controller.cameras["cam1"].paused)
    wait_until(
        lambda: (
            (browser.text(".badge"), button.text, button.get_attribute("aria-pressed")) == ("Paused", "Resume", "true")
        )
    )
    # A new viewer gets the shown frame.
    browser.driver.refresh()
    wait_until(browser.shows_image)
    assert controller.cameras["cam1"].paused
    wait_until(lambda: browser.text(".pause") == "Resume")
    browser.find(".pause").click()
    wait_until(lambda: not controller.cameras["cam1"].paused)
    wait_until(lambda: browser.text(".badge") == "Live")


def test_snapshot(browser: BrowserPage, server: Page) -> None:
    wait_until(browser.shows_image)
    browser.find(".snapshot").click()
    wait_until(lambda: browser.find("#snapshot").is_displayed())
    wait_until(lambda: browser.find("#snapshot img").get_property("naturalWidth") == 320)
    image, maps = (browser.find(f"#snapshot .{kind}") for kind in ("image", "map"))
    assert image.get_attribute("download") == "cam1-1.png"
    assert httpx.get(image.get_attribute("href")).content.startswith(b"\x89PNG")
    assert np.load(io.BytesIO(httpx.get(maps.get_attribute("href")).content)).dtype == np.float32
    browser.find("#snapshot form button").click()
    assert not browser.find("#snapshot").is_displayed()
    assert browser.console_errors() == []


def test_an_old_frame_is_marked(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    wait_until(browser.shows_image)
    camera = controller.cameras["cam1"]
    camera.state, camera.last_error = "lost", "no answer from the server"
    wait_until(lambda: browser.text(".badge") == "Reconnecting")
    assert re.fullmatch(r"Last frame, \d+ s old · no answer from the server", browser.text(".stale"))
    assert "grayscale(1)" in browser.image().value_of_css_property("filter")
    camera.state, camera.last_error = "live", ""
    wait_until(lambda: browser.text(".badge") == "Live")
    assert browser.image().value_of_css_property("filter") == "none"
    assert not browser.find(".stale").is_displayed()


def test_a_lost_connection_is_shown_and_recovers(browser: BrowserPage, controller: FakeController) -> None:
    with serve(controller, ServerOptions(port=0)) as server:
        browser.driver.get(server.url)
        wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        wait_until(browser.shows_image)
    wait_until(lambda: browser.text("#offline") == "Connection lost, reconnecting…")
    assert browser.text(".badge") == "No connection"
    assert "grayscale(1)" in browser.image().value_of_css_property("filter")
    port = urlsplit(server.url).port
    assert port
    with serve(controller, ServerOptions(port=port)):
        wait_until(lambda: browser.text(".badge") == "Live")
        assert not browser.find("#offline").is_displayed()
        wait_until(browser.shows_image)
        first = browser.screenshot()
        wait_until(lambda: bool((np.abs(browser.screenshot() - first) > 20).any()))
        browser.driver.get("about:blank")


def test_a_hidden_page_opens_no_stream(browser: BrowserPage, server: Page, controller: FakeController) -> None:
    jpegs = controller.cameras["cam1"].jpegs
    wait_until(lambda: jpegs.num_subscribers == 1)
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    wait_until(lambda: jpegs.num_subscribers == 0)
    browser.driver.close()
    browser.driver.switch_to.window(first)
    wait_until(lambda: jpegs.num_subscribers == 1)
    wait_until(browser.shows_image)


def test_every_control_is_reached_by_keyboard(browser: BrowserPage, server: Page) -> None:
    expected = [
        one
        for one in browser.driver.find_elements(By.CSS_SELECTOR, "a[href], button, input, select")
        if one.is_displayed() and one.is_enabled()
    ]
    assert len(expected) >= 12
    reached: set[WebElement] = set()
    for _ in range(len(expected) + 2):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        one = browser.driver.switch_to.active_element
        if one.tag_name != "body":
            assert one.value_of_css_property("outline-style") == "solid", one.get_attribute("outerHTML")
            assert one.accessible_name, one.get_attribute("outerHTML")
            reached.add(one)
    assert [one.accessible_name for one in expected if one not in reached] == []


def test_more_cameras_than_connections(browser: BrowserPage) -> None:
    with (
        FakeController(*(f"cam{n}" for n in range(1, 10)), fps=8) as controller,
        serve(controller, ServerOptions(port=0)) as server,
    ):
        browser.driver.get(server.url)
        wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 9)
        visible = [f"[data-camera=cam{n}] img" for n in range(1, 4)]
        wait_until(lambda: all(browser.find(one).get_property("naturalWidth") == 320 for one in visible))
        before = [browser.find(one).get_property("src") for one in visible]
        wait_until(
            lambda: all(browser.find(one).get_property("src") != was for one, was in zip(visible, before, strict=True))
        )
        controller.cameras["cam9"].state = "lost"
        wait_until(lambda: browser.find("[data-camera=cam9]").get_attribute("data-state") == "lost")
        browser.find("#caption").click()
        wait_until(lambda: controller.settings.caption is False)
        assert browser.console_errors() == []
        browser.driver.get("about:blank")


def test_the_page_fits_a_phone(browser: BrowserPage) -> None:
    outputs = (OutputStatus("cam1", "rtmp://***@" + "long." * 20 + "example/app", "waiting", "no answer " * 9),)
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with FakeController("cam1", "a-camera-with-a-very-long-name-indeed-0123456789", outputs=outputs) as controller:
        controller.cameras["cam1"].last_error = "unbroken" * 30
        with serve(controller, ServerOptions(port=0)) as server:
            try:
                browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                browser.driver.get(server.url)
                wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 2)
                assert not browser.find("#alpha").is_displayed()
                browser.find("#more").click()
                assert browser.find("#alpha").is_displayed()
                assert browser.driver.execute_script("return document.documentElement.scrollWidth") == 360
            finally:
                browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
                browser.driver.get("about:blank")


def test_with_a_token_the_page_works(browser: BrowserPage, controller: FakeController) -> None:
    with serve(controller, ServerOptions(port=0, token="secret-of-the-page")) as server:
        browser.driver.get(f"{server.url}?token=secret-of-the-page")
        wait_until(lambda: len(browser.driver.find_elements(By.CSS_SELECTOR, ".camera")) == 1)
        wait_until(browser.shows_image)
        assert "secret" not in browser.driver.current_url
        browser.find("#caption").click()
        wait_until(lambda: controller.settings.caption is False)
        assert browser.console_errors() == []
        browser.driver.get("about:blank")


@pytest.mark.parametrize("scheme", [0, 1])
def test_colors_have_contrast(scheme: int) -> None:
    style = (Path(page.__file__).parent / "static" / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("ground", "raised"):
        for name in ("text", "quiet", "accent", "warn", "bad"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
        for name in ("edge", *(f"c{n}" for n in range(8))):
            assert contrast(colors[name], colors[ground]) >= 3, (name, ground)
    assert contrast(colors["bad"], colors["bad-ground"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
