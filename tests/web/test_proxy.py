"""The page under a path of a proxy."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..waiting import wait_until
from .browser import BrowserPage
from .path_proxy import serve_under_path

PATH = "/yard/cameras"
TOKEN = "a token; with ümlaut"


@pytest.fixture
def guarded_page(controller: FakeController) -> Iterator[Page]:
    with serve(controller, ServerOptions(port=0, token=TOKEN)) as page:
        yield page


@pytest.mark.slow
@pytest.mark.parametrize("name_prefix", [True, False])
def test_a_viewer_logs_in(guarded_page: Page, name_prefix: bool) -> None:
    with (
        serve_under_path(guarded_page.url, PATH, name_prefix=name_prefix) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        answer = client.get("", params={"token": TOKEN})
        assert answer.next_request is not None
        assert answer.next_request.url == url
        (cookie,) = client.cookies.jar
        assert cookie.path == PATH
        assert client.get("").status_code == 200
        assert client.patch("api/settings", json={"alpha": 0.5}).json()["alpha"] == 0.5


@pytest.mark.slow
def test_responses_contain_the_path(controller: FakeController, server: Page) -> None:
    wait_until(lambda: controller.cameras["cam1"].shown > 0)
    with (
        serve_under_path(server.url, PATH, name_prefix=True) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        taken = client.post("api/cameras/cam1/snapshots").json()
        assert taken["image"].startswith(f"{PATH}/api/snapshots/cam1-")
        assert httpx.get(httpx.URL(url).join(taken["image"])).headers["content-type"] == "image/png"
        assert client.get("api").json()["page"] == f"{PATH}/docs"
        assert {"url": PATH} in client.get("api/openapi.json").json()["servers"]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["https://evil.example", "//evil.example", "/a b", "/<script>", "x", "/"])
def test_an_invalid_prefix_is_ignored(client: httpx.Client, prefix: str) -> None:
    answer = client.get("/api", headers={"X-Forwarded-Prefix": prefix})
    assert answer.json()["page"] == "/docs"


@pytest.mark.browser
@pytest.mark.parametrize("name_prefix", [True, False])
def test_the_page_works_under_a_path(
    browser: BrowserPage, controller: FakeController, guarded_page: Page, name_prefix: bool
) -> None:
    with serve_under_path(guarded_page.url, PATH, name_prefix=name_prefix) as url:
        browser.driver.get(httpx.URL(url, params={"token": TOKEN}).__str__())
        wait_until(browser.shows_image)
        assert browser.driver.current_url == url
        browser.find("#caption").click()
        wait_until(lambda: controller.settings.caption is False)
        browser.find(".snapshot").click()
        wait_until(lambda: browser.find("#snapshot img").get_property("naturalWidth"))
        assert browser.find("#snapshot .map").get_property("href").startswith(f"{url}api/snapshots/")
        browser.driver.get(f"{url}docs")
        wait_until(lambda: "PATCH /api/settings" in browser.text("#operations"))
        assert browser.console_errors() == []
        browser.driver.get("about:blank")
