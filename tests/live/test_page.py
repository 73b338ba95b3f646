"""The page's server: who may come in, what it answers, and that watching never disturbs the one who is watched."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from streamcam.config import PageOptions
from streamcam.errors import SinkError, StreamcamError
from streamcam.live import page
from streamcam.live.broadcast import Broadcast
from streamcam.live.page import Page, serve, watching
from streamcam.live.status import OutletStatus

from .fake_studio import LABELS, LAYERS, METHODS, FakeStudio

TOKEN = "a token; with ümlaut"


@pytest.fixture
def studio() -> Iterator[FakeStudio]:
    outlets = (OutletStatus("cam1", 'a "quoted" \\ place', "waiting", "no", 7, 2, 1),)
    with FakeStudio("cam1", "cam2", size=(160, 96), outlets=outlets) as studio:
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


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


@contextlib.contextmanager
def watch(url: str, *, small: bool = False) -> Iterator[socket.socket]:
    """A watcher of cam1 that has asked, and read nothing yet; ``small``: it has room for little."""
    address = urlsplit(url)
    with socket.socket() as watcher:
        if small:
            watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        watcher.settimeout(20)
        watcher.connect((address.hostname, address.port))
        watcher.sendall(b"GET /cameras/cam1/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            yield watcher
        finally:
            # Whatever still reads from it would keep it open.
            with contextlib.suppress(OSError):
                watcher.shutdown(socket.SHUT_RDWR)


def parts(watcher: socket.socket) -> Iterator[bytes]:
    """The pictures of a stream."""
    answer = http.client.HTTPResponse(watcher)
    answer.begin()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert answer.readline() == b"--frame\r\n"
    while True:
        if not (kind := answer.readline()):
            return
        assert kind == b"Content-Type: image/jpeg\r\n"
        name, length = answer.readline().split(b":")
        assert name == b"Content-Length"
        assert answer.readline() == b"\r\n"
        yield answer.read(int(length))
        # The boundary comes with the picture: a browser shows it when it has seen that.
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"--frame\r\n"


# What is answered


def test_page_and_its_files_are_served(client: httpx.Client) -> None:
    index = client.get("/")
    assert index.status_code == 200
    assert index.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in index.headers["content-security-policy"]
    for file in ("style.css", "script.js", "camera.js", "settings.js", "chart.js", "ask.js"):
        assert client.get(f"/static/{file}").status_code == 200
    for outside in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/nothing.js"):
        assert client.get(outside).status_code == 404


def test_page_needs_nothing_from_elsewhere() -> None:
    for file in (Path(page.__file__).parent / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in "".join(line for line in text.splitlines() if "http" in line), file.name


def test_status_is_the_studios(client: httpx.Client, studio: FakeStudio) -> None:
    status = client.get("/api/status").json()
    assert [camera["name"] for camera in status["cameras"]] == ["cam1", "cam2"]
    assert status["settings"] == {
        "method": "gradcam",
        "layer": "auto",
        "target": ["top"],
        "alpha": 0.6,
        "colormap": "turbo",
        "caption": True,
    }
    assert client.get("/api/cameras").json()[1]["name"] == "cam2"
    assert client.get("/api/cameras/cam2").json()["width"] == 160
    assert client.get("/api/methods").json() == list(METHODS)
    assert client.get("/api/layers").json() == list(LAYERS)
    assert client.get("/api/labels").json() == list(LABELS)
    assert "viridis" in client.get("/api/colormaps").json()


def test_settings_are_changed(client: httpx.Client, studio: FakeStudio) -> None:
    answer = client.patch("/api/settings", json={"method": "layercam", "target": ["top", "tabby"], "layer": None})
    assert answer.status_code == 200
    assert answer.json()["method"] == "layercam"
    assert studio.changes == [{"method": "layercam", "target": ("top", "tabby")}]
    assert client.get("/api/settings").json()["target"] == ["top", "tabby"]
    assert client.patch("/api/settings", json={}).json() == client.get("/api/settings").json()
    assert len(studio.changes) == 1


def test_other_requests_are_answered_while_a_change_compiles(client: httpx.Client, studio: FakeStudio) -> None:
    studio.compiling.clear()
    answers: list[int] = []
    change = threading.Thread(
        target=lambda: answers.append(client.patch("/api/settings", json={"method": "eigencam"}).status_code)
    )
    change.start()
    try:
        until(lambda: client.get("/api/status").json()["busy"] == "compiling eigencam")
        assert client.patch("/api/settings", json={"alpha": 0.25}).json()["alpha"] == 0.25
        assert answers == []
    finally:
        studio.compiling.set()
        change.join()
    assert answers == [200]


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        ({"method": "gradcm"}, 409, "method 'gradcm' is not known"),
        ({"target": ["tabbi"]}, 409, "there is no class 'tabbi'"),
        ({"target": []}, 422, "target: List should have at least 1 item"),
        ({"alpha": 1.5}, 422, "alpha: Input should be less than or equal to 1"),
        ({"alpha": "0.5"}, 422, "alpha: Input should be a valid number"),
        ({"colormap": "grey"}, 422, "colormap: Input should be"),
        ({"opacity": 1}, 422, "opacity: Extra inputs are not permitted"),
        ({"target": ["\ud800"]}, 422, "target.0: Input should be a valid string"),
        ([], 422, "body: Input should be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    client: httpx.Client, studio: FakeStudio, content: object, status: int, told: str
) -> None:
    before = studio.settings
    answer = client.patch("/api/settings", content=json.dumps(content), headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(told)
    assert "\n" not in answer.json()["detail"]
    assert studio.settings == before


@pytest.mark.parametrize("content", [{"target": ["os:getcwd"]}, {"method": "package.module:function"}])
def test_visitors_name_no_code(client: httpx.Client, studio: FakeStudio, content: object) -> None:
    answer = client.patch("/api/settings", json=content)
    assert answer.status_code == 409
    assert "is a function" in answer.json()["detail"]
    assert studio.changes == []


def test_what_is_not_possible_now_is_a_conflict(client: httpx.Client, studio: FakeStudio) -> None:
    studio.ready = False
    answer = client.patch("/api/settings", json={"method": "layercam"})
    assert answer.status_code == 409
    assert answer.json() == {"detail": "the model is not ready yet; try again in a moment"}


def test_a_bug_is_told_without_a_traceback(
    client: httpx.Client, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(studio, "status", lambda: 1 / 0)
    answer = client.get("/api/status")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "this should not have happened: ZeroDivisionError: division by zero"
    assert capfd.readouterr() == ("", "")


def test_pause(client: httpx.Client, studio: FakeStudio) -> None:
    assert client.patch("/api/cameras/cam1", json={"paused": True}).json()["state"] == "paused"
    assert studio.cameras["cam1"].paused
    assert client.patch("/api/cameras/cam1", json={"paused": False}).json()["state"] == "live"
    assert client.patch("/api/cameras/cam3", json={"paused": True}).status_code == 404
    assert client.patch("/api/cameras/cam1", json={"paused": "yes"}).status_code == 422


def test_snapshots_are_fetched_and_the_oldest_go(client: httpx.Client, studio: FakeStudio) -> None:
    until(lambda: studio.cameras["cam1"].shown > 0)
    answer = client.post("/api/cameras/cam1/snapshots")
    assert answer.status_code == 201
    taken = answer.json()
    assert taken["status"]["name"] == "cam1"
    assert Image.open(io.BytesIO(client.get(taken["picture"]).content)).size == (160, 96)
    assert np.load(io.BytesIO(client.get(taken["map"]).content)).shape == (1, 7, 7)
    for _ in range(15):
        assert client.post("/api/cameras/cam2/snapshots").status_code == 201
    assert client.get(taken["picture"]).status_code == 200
    client.post("/api/cameras/cam2/snapshots")
    assert client.get(taken["picture"]).status_code == 404
    assert client.get(taken["map"]).status_code == 404


def test_no_snapshot_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamcam.live.page.app._PATIENCE", 0.2)
    studio = FakeStudio("cam1")  # not entered: no picture ever comes
    with serve(studio, PageOptions(port=0)) as served, httpx.Client(base_url=served.url) as client:
        assert client.post("/api/cameras/cam1/snapshots").status_code == 503
        answer = client.get("/cameras/cam1/picture.jpg")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "camera 'cam1' has no picture yet"}
        assert studio.cameras["cam1"].jpegs.watchers == 0


def test_ready_when_every_camera_shows_pictures(client: httpx.Client, studio: FakeStudio) -> None:
    until(lambda: all(camera.shown for camera in studio.cameras.values()))
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    camera = studio.cameras["cam1"]
    camera.state, camera.trouble = "lost", "no answer"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["camera 'cam1' is lost: no answer"]}
    camera.state = "ended"
    studio.cameras["cam2"].paused = True
    assert client.get("/readyz").status_code == 200
    studio.ready = False
    assert client.get("/readyz").json()["reasons"] == ["the model is being compiled"]
    assert client.get("/healthz").status_code == 200


def test_figures_are_prometheus(client: httpx.Client, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    until(lambda: camera.shown > 0)
    camera.paused, camera.drops, camera.reconnects = True, 5, 2
    studio.cameras["cam2"].state = "lost"
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    shown = camera.shown
    assert found["streamcam_frames_total", "cam1", "shown"] == shown
    assert found["streamcam_frames_total", "cam1", "in"] == shown + 5
    assert found["streamcam_frames_total", "cam1", "explained"] == shown // 3
    assert found["streamcam_frames_total", "cam1", "dropped"] == 5
    assert found["streamcam_reconnects_total", "cam1"] == 2
    assert found["streamcam_fps", "cam1"] == 0
    assert found["streamcam_explained_fps", "cam1"] == 0
    assert found["streamcam_age_seconds", "cam1", "0.99"] == pytest.approx(0.088)
    assert found["streamcam_watchers", "cam1"] == 0
    assert found["streamcam_camera_live", "cam2"] == 0
    assert found["streamcam_outlet_frames_total", "cam1", 'a "quoted" \\ place'] == 7
    assert found["streamcam_outlet_dropped_total", "cam1", 'a "quoted" \\ place'] == 2
    assert found["streamcam_outlet_restarts_total", "cam1", 'a "quoted" \\ place'] == 1
    assert found["streamcam_outlet_state", "cam1", "waiting", 'a "quoted" \\ place'] == 1
    assert found["streamcam_outlet_state", "cam1", "running", 'a "quoted" \\ place'] == 0
    assert found["streamcam_ready",] == 1
    assert found["streamcam_uptime_seconds",] > 0


# Who may come in


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


# Where it is served


def test_a_port_in_use_is_told_in_one_line(served: Page, studio: FakeStudio) -> None:
    port = urlsplit(served.url).port
    assert port
    with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: Address already in use; choose another --port"):
        serve(studio, PageOptions(port=port)).__enter__()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (PageOptions(host="0.0.0.0", port=0), "give it a --token"),
        (PageOptions(host="::", port=0), "give it a --token"),
        (PageOptions(host="192.0.2.1", port=0, token="t"), "--host takes an address of this machine"),
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


# Watching


def test_a_stream_is_jpegs_that_move(served: Page, studio: FakeStudio) -> None:
    with watch(served.url) as watcher:
        pictures = parts(watcher)
        several: list[bytes] = []
        while len(several) < 5:
            if (picture := next(pictures)) not in several:
                several.append(picture)
        for picture in several:
            with Image.open(io.BytesIO(picture)) as image:
                image.load()
                assert (image.format, image.size) == ("JPEG", (160, 96))
        assert studio.cameras["cam1"].jpegs.watchers == 1
        assert studio.cameras["cam2"].jpegs.watchers == 0
    until(lambda: studio.cameras["cam1"].jpegs.watchers == 0)


def test_no_stream_of_no_camera(client: httpx.Client) -> None:
    answer = client.get("/cameras/cam9/stream.mjpg")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is no camera 'cam9'; there are cam1, cam2"}


def test_one_picture(client: httpx.Client, studio: FakeStudio) -> None:
    first, second = (client.get("/cameras/cam1/picture.jpg") for _ in range(2))
    assert first.headers["content-type"] == "image/jpeg"
    assert first.content != second.content
    assert Image.open(io.BytesIO(first.content)).size == (160, 96)
    until(lambda: studio.cameras["cam1"].jpegs.watchers == 0)


def test_a_paused_camera_shows_what_stands_and_no_older_picture(client: httpx.Client, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    old = client.get("/cameras/cam1/picture.jpg").content
    begun = camera.shown
    until(lambda: camera.shown > begun + 3)
    camera.pause(True)
    standing = camera.snapshot()
    assert standing is not None
    with watch(str(client.base_url)) as watcher:
        picture = next(parts(watcher))
    assert picture != old
    expected = np.asarray(Image.open(io.BytesIO(standing.png)), np.int16)
    assert np.abs(np.asarray(Image.open(io.BytesIO(picture)), np.int16) - expected).mean() < 3


def test_a_watcher_that_leaves_a_paused_camera_is_noticed(served: Page, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    with watch(served.url) as watcher:
        next(parts(watcher))
        camera.pause(True)
        assert camera.jpegs.watchers == 1
    until(lambda: camera.jpegs.watchers == 0)


class Fed:
    """A camera whose pictures the test puts."""

    def __init__(self) -> None:
        self.name = "cam1"
        self.jpegs = Broadcast()

    def pause(self, paused: bool) -> None:
        raise AssertionError

    def snapshot(self) -> None:
        return None


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fed, Page]]:
    camera = Fed()
    studio = FakeStudio("cam1")
    monkeypatch.setattr(FakeStudio, "monitors", {"cam1": camera})
    with serve(studio, PageOptions(port=0)) as served:
        yield camera, served


def test_who_does_not_read_loses_only_his_own(fed: tuple[Fed, Page]) -> None:
    camera, served = fed
    size = 200_000
    counts = [0] * 19
    numbers: list[list[int]] = [[] for _ in counts]

    def read(number: int, watcher: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for picture in parts(watcher):
                counts[number] += 1
                numbers[number].append(struct.unpack("<I", picture[:4])[0])

    def put(number: int) -> float:
        start = time.perf_counter()
        camera.jpegs.put(struct.pack("<I", number) + b"." * size)
        return time.perf_counter() - start

    with contextlib.ExitStack() as ending:
        stuck = ending.enter_context(watch(served.url, small=True))
        until(lambda: camera.jpegs.watchers == 1)
        watchers = [ending.enter_context(watch(served.url)) for _ in counts]
        until(lambda: camera.jpegs.watchers == 20)
        threads = [threading.Thread(target=read, args=(n, watcher)) for n, watcher in enumerate(watchers)]
        for thread in threads:
            thread.start()
        before, last, times = 0, 0, []
        while min(counts) < 120:
            last += 1
            times.append(put(last))
            time.sleep(0.01)
            if not before and min(counts) > 20:
                before = resident()
            assert last < 2000
        grown = resident() - before
        # What the stuck one missed since then is 100 pictures at least.
        assert grown < 20 * size, f"{grown} bytes for {last} pictures"
        # Putting one rings a bell for each watcher, and waits for nobody.
        assert sorted(times)[len(times) // 2] < 0.01
        # In order, and again at most once, where the next came late.
        assert all(mine == sorted(mine) for mine in numbers)
        assert all(max(Counter(mine).values()) <= 2 for mine in numbers)
        # Who begins to read again gets what was on its way, then the newest and nothing between.
        seen = (struct.unpack("<I", picture[:4])[0] for picture in parts(stuck))
        on_the_way = [next(seen)]
        put(last + 1)
        while on_the_way[-1] < last:
            on_the_way.append(next(seen))
        assert len(on_the_way) <= 6, on_the_way
        for watcher in watchers:
            watcher.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)
    until(lambda: camera.jpegs.watchers == 0)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_who_stalls_for_long_is_sent_away(fed: tuple[Fed, Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_STALLED", 0.5)
    camera, served = fed
    with watch(served.url, small=True):
        until(lambda: camera.jpegs.watchers == 1)
        deadline = time.monotonic() + 20
        while camera.jpegs.watchers and time.monotonic() < deadline:
            camera.jpegs.put(b"." * 500_000)
            time.sleep(0.05)
        assert camera.jpegs.watchers == 0


def test_it_ends_promptly_while_it_is_watched(studio: FakeStudio) -> None:
    studio.compiling.clear()
    with contextlib.ExitStack() as ending:
        with serve(studio, PageOptions(port=0)) as served:
            reading = ending.enter_context(watch(served.url))
            pictures = parts(reading)
            next(pictures)
            stuck = ending.enter_context(watch(served.url, small=True))
            until(lambda: studio.cameras["cam1"].jpegs.watchers == 2)
            # A change that compiles for long does not hold it up either.
            changing = ending.enter_context(socket.create_connection(stuck.getpeername()))
            ending.callback(studio.compiling.set)
            body = b'{"method": "layercam"}'
            changing.sendall(
                b"PATCH /api/settings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            until(lambda: studio.busy != "")
            start = time.monotonic()
        assert time.monotonic() - start < 2.9
        assert not [thread for thread in threading.enumerate() if thread.name == "streamcam-page"]
        # The stream comes to an end, it is not cut off.
        for _ in pictures:
            pass
    assert studio.cameras["cam1"].jpegs.watchers == 0


def test_a_picture_with_no_next_one_is_sent_again_once(fed: tuple[Fed, Page]) -> None:
    camera, served = fed
    with watch(served.url) as watcher:
        until(lambda: camera.jpegs.watchers == 1)
        camera.jpegs.put(b"one")
        pictures = parts(watcher)
        assert [next(pictures), next(pictures)] == [b"one", b"one"]
        watcher.settimeout(0.3)
        with pytest.raises(TimeoutError):
            next(pictures)
