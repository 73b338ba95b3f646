"""A page over a fake controller, and a browser for the tests that need one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from .browser import BrowserPage

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_CHROMIUM_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,800"
)


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with FakeController("cam1", "cam2", size=(160, 96)) as controller:
        yield controller


@pytest.fixture
def server(controller: FakeController) -> Iterator[Page]:
    with serve(controller, ServerOptions(port=0)) as server:
        yield server


@pytest.fixture
def client(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if not (_CHROMIUM and _DRIVER):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in _CHROMIUM_FLAGS.split():
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[BrowserPage]:
    driver.get_log("browser")
    yield BrowserPage(driver)
    driver.get("about:blank")
