"""Addresses, tokens, hosts and origins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from streamcam import web as page
from streamcam.errors import OptionError, SinkError, StreamcamError
from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.server import Page

from ..live.fake_controller import METHODS, FakeController

TOKEN = "a token; with ümlaut"


@pytest.fixture
def guarded_server(controller: FakeController) -> Iterator[httpx.Client]:
    with (
        serve(controller, ServerOptions(port=0, token=TOKEN)) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        yield client


def test_everything_but_health_needs_the_token(guarded_server: httpx.Client) -> None:
    assert guarded_server.get("/healthz").status_code == 200
    for path in ("/", "/static/main.js", "/api/status", "/metrics", "/readyz", "/cameras/cam1/frame.jpg", "/none"):
        answer = guarded_server.get(path)
        assert answer.status_code == 401, path
        assert "/?token=TOKEN" in answer.json()["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"
    bearer = {"Authorization": f"Bearer {TOKEN}".encode()}
    assert guarded_server.get("/api/status", headers=bearer).status_code == 200
    assert guarded_server.get("/api/status", headers={"Authorization": "Bearer no"}).status_code == 401
    assert guarded_server.get("/api/status", headers={"Authorization": f"Basic {TOKEN}".encode()}).status_code == 401
    assert guarded_server.get("/api/status", headers={"Host": "camera.example"} | bearer).status_code == 200


def test_token_in_the_address_becomes_a_cookie(guarded_server: httpx.Client) -> None:
    assert guarded_server.get("/", params={"token": "wrong"}).status_code == 401
    answer = guarded_server.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path" not in cookie
    assert TOKEN not in cookie
    assert guarded_server.get("/").status_code == 200
    assert guarded_server.get("/api/status").status_code == 200
    assert guarded_server.patch("/api/settings", json={}, headers={"Origin": "http://localhost:1"}).status_code == 403
    guarded_server.cookies = httpx.Cookies({next(iter(guarded_server.cookies)): "0" * 64})
    assert guarded_server.get("/api/status").status_code == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "127.0.0.2", "[::1]", "[::1]:80"])
def test_own_hosts_are_accepted(client: httpx.Client, host: str) -> None:
    assert client.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "localhost.example:80", "10.0.0.1", "127.0.0.1.example", "[::2]", "["]
)
def test_foreign_hosts_are_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.json()["detail"]
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
def test_foreign_origins_change_nothing(client: httpx.Client, controller: FakeController, origin: str) -> None:
    foreign = {"Origin": origin}
    assert client.patch("/api/settings", json={"alpha": 0}, headers=foreign).status_code == 403
    assert client.patch("/api/cameras/cam1", json={"paused": True}, headers=foreign).status_code == 403
    assert client.post("/api/cameras/cam1/snapshots", headers=foreign).status_code == 403
    assert controller.changes == []
    answer = client.get("/api/status", headers=foreign)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_may_change_settings(client: httpx.Client) -> None:
    own_origin = str(client.base_url).rstrip("/")
    assert client.patch("/api/settings", json={"alpha": 0}, headers={"Origin": own_origin}).json()["alpha"] == 0


def test_a_port_in_use_is_an_error_in_one_line(server: Page, controller: FakeController) -> None:
    port = urlsplit(server.url).port
    assert port
    with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
        serve(controller, ServerOptions(port=port)).__enter__()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ServerOptions(host="0.0.0.0", port=0), "expected a --token"),
        (ServerOptions(host="::", port=0), "expected a --token"),
        (ServerOptions(host="192.0.2.1", port=0, token=TOKEN), "use an address of this machine"),
        (ServerOptions(host="no.such.host.invalid", port=0), "unknown --http host"),
    ],
)
def test_invalid_addresses(options: ServerOptions, message: str) -> None:
    with pytest.raises(SinkError, match=message) as caught:
        serve(FakeController(), options).__enter__()
    assert "\n" not in str(caught.value)


def test_an_invalid_port() -> None:
    with pytest.raises(OptionError, match=r"^invalid --http port 70000; expected 0 to 65535$"):
        ServerOptions(port=70000)


def test_a_short_token_is_refused_and_not_repeated() -> None:
    with pytest.raises(OptionError, match=r"^--token has 15 characters; expected at least 16; --token auto") as caught:
        ServerOptions(token="sesame-open-now")
    assert "sesame" not in str(caught.value)
    assert ServerOptions(token="x" * 16).token


def test_a_public_address_with_a_token() -> None:
    with serve(FakeController(), ServerOptions(host="0.0.0.0", port=0, token=TOKEN)) as server:
        assert "token" not in server.url
        local = f"http://127.0.0.1:{urlsplit(server.url).port}/api/methods"
        assert httpx.get(local, headers={"Authorization": f"Bearer {TOKEN}".encode()}).json() == list(METHODS)


def test_the_port_is_free_again_at_once(controller: FakeController) -> None:
    with serve(controller, ServerOptions(port=0)) as server:
        httpx.get(server.url)
    port = urlsplit(server.url).port
    assert port
    with serve(controller, ServerOptions(port=port)) as again:
        assert again.url == server.url
        assert httpx.get(again.url).status_code == 200


def test_missing_packages_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(StreamcamError, match=r"needs uvicorn; pip install 'streamcam\[live\]'"):
        serve(FakeController(), ServerOptions(port=0))


@pytest.mark.slow
def test_serving_loads_nothing_heavy() -> None:
    code = (
        "import sys; from streamcam.web import server; "
        "print([name for name in ('av', 'cv2', 'tensorflow', 'keras') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
