"""Clients that are many, slow or large cost neither frames nor memory."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from streamcam.options import ServerOptions
from streamcam.web import limits, serve, server
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..live.http_client import open_stream, read_jpegs
from ..live.live_runs import job, run_in_thread
from ..waiting import wait_until

pytestmark = pytest.mark.slow

HEAD = b"PATCH /api/settings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(limits, "STALL_TIMEOUT_SECONDS", 0.3)


@contextlib.contextmanager
def connect(page: Page, sent: bytes = b"") -> Iterator[socket.socket]:
    """A client that has sent something."""
    address = urlsplit(page.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(sent)
        yield client


def received(client: socket.socket) -> bytes:
    """All that a client receives until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(1 << 16):
            data += part
    return data


def drip(client: socket.socket, line: bytes) -> bytes:
    """Send a line again and again until the server closes the connection; return what it sent."""
    data = b""
    client.settimeout(0.02)
    with contextlib.suppress(ConnectionError):
        while True:
            client.sendall(line)
            try:
                if not (part := client.recv(1 << 16)):
                    return data
                data += part
            except TimeoutError:
                pass
    return data


@pytest.mark.usefixtures("short_times")
def test_slow_headers_end(server: Page) -> None:
    with connect(server, b"GET / HTTP/1.1\r\n") as client:
        assert drip(client, b"X-Slow: 1\r\n").startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("short_times")
def test_a_silent_connection_ends(server: Page) -> None:
    with connect(server) as client:
        assert received(client) == b""


@pytest.mark.usefixtures("short_times")
def test_slow_headers_of_a_second_request_end(server: Page) -> None:
    with connect(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        drip(client, b"X")


@pytest.mark.usefixtures("short_times")
def test_a_slow_body_is_refused(server: Page, controller: FakeController) -> None:
    with connect(server, HEAD + b"Content-Length: 1000\r\n\r\n{") as client:
        assert b"HTTP/1.1 408 " in drip(client, b" ")
    assert controller.changes == []


@pytest.mark.usefixtures("short_times")
def test_a_refused_client_cannot_go_on_sending(controller: FakeController) -> None:
    with (
        serve(controller, ServerOptions(port=0, token="a token; with ümlaut")) as page,
        connect(page, HEAD + b"Content-Length: 1000000\r\n\r\n") as client,
    ):
        assert drip(client, b" ").startswith(b"HTTP/1.1 401 ")


def test_a_large_body_is_refused_unread(server: Page, controller: FakeController) -> None:
    with connect(server, HEAD + b"Content-Length: 400000000\r\n\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert controller.changes == []


def test_a_large_body_of_unknown_length_is_refused(client: httpx.Client, controller: FakeController) -> None:
    answer = client.patch("/api/settings", content=(b" " * 60_000 for _ in range(20)))
    assert answer.status_code == 413
    assert answer.json() == {"detail": "the body is too large; expected at most 256 KiB"}
    json = {"Content-Type": "application/json"}
    answer = client.patch("/api/settings", content=iter([b'{"alpha"', b": 0.5}"]), headers=json)
    assert answer.json()["alpha"] == 0.5


def test_large_headers_are_refused(server: Page) -> None:
    with connect(server, b"GET / HTTP/1.1\r\nX-Large: " + b"x" * 100_000) as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("short_times")
def test_an_unread_response_ends(server: Page, controller: FakeController) -> None:
    controller.cameras["cam1"].size = 1280, 720
    with open_stream(server.url, small=True):
        wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 1)
        wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 0)


def test_invalid_data_during_a_response_ends_it_without_a_traceback(
    server: Page, controller: FakeController, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = b"GET /cameras/cam1/stream.mjpg HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server, stream + b"1\r\n \r\n0\r\n\r\n") as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    with connect(server, stream + b"no length\r\n") as client:
        received(client)
    assert capfd.readouterr() == ("", "")


def test_the_longest_idle_connection_makes_room(controller: FakeController, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "max_connections", lambda: 8)
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(serve(controller, ServerOptions(port=0)))
        viewer = stack.enter_context(open_stream(page.url))
        frames = read_jpegs(viewer)
        next(frames)
        slow = [stack.enter_context(connect(page, b"GET / HTTP/1.1\r\nX-Slow:")) for _ in range(20)]
        assert httpx.get(f"{page.url}api/methods").status_code == 200
        assert received(slow[0]) == b""
        assert next(frames)


def test_busy_connections_are_limited(controller: FakeController, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "max_connections", lambda: 4)
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(serve(controller, ServerOptions(port=0)))
        viewers = [stack.enter_context(open_stream(page.url)) for _ in range(3)]
        streams = [read_jpegs(viewer) for viewer in viewers]
        assert all(next(stream) for stream in streams)
        assert httpx.get(f"{page.url}api/methods").status_code == 503
        viewers[0].shutdown(socket.SHUT_RDWR)
        wait_until(lambda: httpx.get(f"{page.url}api/methods").status_code == 200)
        assert next(streams[1])


def test_200_slow_connections_cost_no_frame() -> None:
    """For 60 s and with a camera of the usual size: ``benchmarks/latency.py --only slow-clients``."""
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(run_in_thread(job("lavfi:testsrc2=size=128x96:rate=25")))
        page = stack.enter_context(serve(run.controller, ServerOptions(port=0)))
        before = run.wait_until(lambda status: status.cameras[0].frames_shown > 5).cameras[0]
        slow = [stack.enter_context(connect(page, b"GET / HTTP/1.1\r\n")) for _ in range(200)]
        for client in slow:
            with contextlib.suppress(ConnectionError):
                client.sendall(b"X-Slow: 1\r\n")
        after = run.wait_until(lambda status: status.cameras[0].frames_shown > before.frames_shown + 25).cameras[0]
        assert after.frames_dropped == before.frames_dropped
        assert httpx.get(f"{page.url}api/status").json()["cameras"][0]["frames_shown"] >= after.frames_shown


def test_few_descriptors_are_reported_once() -> None:
    code = """
import asyncio, contextlib, os, resource, socket, sys
import httpx
from streamcam.notes import collect_notes
from streamcam.options import ServerOptions
from streamcam.web import serve
from streamcam.web.limits import ErrorLog
from tests.live.fake_controller import FakeController
from tests.waiting import wait_until

errors = []
log = ErrorLog.__call__
ErrorLog.__call__ = lambda *arguments: (errors.append(arguments), log(*arguments))
asyncio.constants.ACCEPT_RETRY_DELAY = 0.05
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
with collect_notes(lambda line: print(line, file=sys.stderr)), FakeController() as controller:
    with serve(controller, ServerOptions(port=0)) as page, contextlib.ExitStack() as stack:
        port = int(page.url.split(":")[2].strip("/"))
        assert httpx.get(page.url + "healthz", timeout=60).status_code == 200
        clients = [stack.enter_context(socket.socket()) for _ in range(3)]
        files = []
        with contextlib.suppress(OSError):
            while True:
                files.append(os.open("/dev/null", os.O_RDONLY))
        for client in clients:
            client.connect(("127.0.0.1", port))
        wait_until(lambda: len(errors) > 200)  # several attempts to accept
        for file in files:
            os.close(file)
        clients[0].settimeout(60)
        clients[0].sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        print(clients[0].recv(1000).decode())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("HTTP/1.1 200 ")
    assert ran.stderr == ("the page accepts no connection: too many open files; raise the limit with ulimit -n\n")
