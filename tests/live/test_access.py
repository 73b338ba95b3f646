"""Where the page is served, and who may come in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from streamcam.config import PageOptions
from streamcam.errors import SinkError, StreamcamError
from streamcam.live import page
from streamcam.live.page import Page, serve

from .fake_studio import METHODS, FakeStudio

TOKEN = "a token; with ümlaut"


@pytest.fixture
def studio() -> Iterator[FakeStudio]:
    with FakeStudio("cam1", "cam2", size=(160, 96)) as studio:
        yield studio


@pytest.fixture
def served(studio: FakeStudio) -> Iterator[Page]:
    with serve(studio, PageOptions(port=0)) as served:
        yield served


@pytest.fixture
def client(served: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as client:
        yield client


@pytest.fixture
def guarded(studio: FakeStudio) -> Iterator[httpx.Client]:
    with (
        serve(studio, PageOptions(port=0, token=TOKEN)) as served,
        httpx.Client(base_url=served.url, timeout=20) as client,
    ):
        yield client


def test_everything_but_health_needs_the_token(guarded: httpx.Client) -> None:
    assert guarded.get("/healthz").status_code == 200
    for path in ("/", "/static/script.js", "/api/status", "/metrics", "/readyz", "/cameras/cam1/picture.jpg", "/none"):
        answer = guarded.get(path)
        assert answer.status_code == 401, path
        assert "/?token=TOKEN" in answer.json()["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"
    bearer = {"Authorization": f"Bearer {TOKEN}".encode()}
    assert guarded.get("/api/status", headers=bearer).status_code == 200
    assert guarded.get("/api/status", headers={"Authorization": "Bearer no"}).status_code == 401
    assert guarded.get("/api/status", headers={"Authorization": f"Basic {TOKEN}".encode()}).status_code == 401
    assert guarded.get("/api/status", headers={"Host": "camera.example"} | bearer).status_code == 200


def test_token_in_the_address_becomes_a_cookie(guarded: httpx.Client) -> None:
    assert guarded.get("/", params={"token": "wrong"}).status_code == 401
    answer = guarded.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/").status_code == 200
    assert guarded.get("/api/status").status_code == 200
    assert guarded.patch("/api/settings", json={}, headers={"Origin": "http://localhost:1"}).status_code == 403
    guarded.cookies = httpx.Cookies({next(iter(guarded.cookies)): "0" * 64})
    assert guarded.get("/api/status").status_code == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "127.0.0.2", "[::1]", "[::1]:80"])
def test_own_hosts_are_let_in(client: httpx.Client, host: str) -> None:
    assert client.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "localhost.example:80", "10.0.0.1", "127.0.0.1.example", "[::2]", "["]
)
def test_foreign_hosts_are_not(client: httpx.Client, host: str) -> None:
    answer = client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.json()["detail"]
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
def test_foreign_origins_change_nothing(client: httpx.Client, studio: FakeStudio, origin: str) -> None:
    foreign = {"Origin": origin}
    assert client.patch("/api/settings", json={"alpha": 0}, headers=foreign).status_code == 403
    assert client.patch("/api/cameras/cam1", json={"paused": True}, headers=foreign).status_code == 403
    assert client.post("/api/cameras/cam1/snapshots", headers=foreign).status_code == 403
    assert studio.changes == []
    answer = client.get("/api/status", headers=foreign)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_may(client: httpx.Client) -> None:
    own = str(client.base_url).rstrip("/")
    assert client.patch("/api/settings", json={"alpha": 0}, headers={"Origin": own}).json()["alpha"] == 0


def test_a_port_in_use_is_told_in_one_line(served: Page, studio: FakeStudio) -> None:
    port = urlsplit(served.url).port
    assert port
    with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
        serve(studio, PageOptions(port=port)).__enter__()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (PageOptions(host="0.0.0.0", port=0), "give it a --token"),
        (PageOptions(host="::", port=0), "give it a --token"),
        (PageOptions(host="192.0.2.1", port=0, token="t"), "--http takes an address of this machine"),
        (PageOptions(host="no.such.host.invalid", port=0), "has no address"),
        (PageOptions(port=70000), "wanted 0 to 65535"),
    ],
)
def test_addresses_that_cannot_be(options: PageOptions, told: str) -> None:
    with pytest.raises(SinkError, match=told) as caught:
        serve(FakeStudio(), options).__enter__()
    assert "\n" not in str(caught.value)


def test_with_a_token_others_may_come() -> None:
    with serve(FakeStudio(), PageOptions(host="0.0.0.0", port=0, token="t")) as served:
        assert "token" not in served.url
        local = f"http://127.0.0.1:{urlsplit(served.url).port}/api/methods"
        assert httpx.get(local, headers={"Authorization": "Bearer t"}).json() == list(METHODS)


def test_the_port_is_free_again_at_once(studio: FakeStudio) -> None:
    with serve(studio, PageOptions(port=0)) as served:
        httpx.get(served.url)
    port = urlsplit(served.url).port
    assert port
    with serve(studio, PageOptions(port=port)) as again:
        assert again.url == served.url
        assert httpx.get(again.url).status_code == 200


def test_missing_packages_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(StreamcamError, match=r"needs uvicorn; pip install 'streamcam\[live\]'"):
        serve(FakeStudio(), PageOptions(port=0))


def test_serving_loads_nothing_heavy() -> None:
    code = (
        "import sys; from streamcam.live.page import server; "
        "print([name for name in ('av', 'cv2', 'tensorflow', 'keras') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
