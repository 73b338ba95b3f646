"""End-to-end latency of live video: with slow models, frozen cameras, many viewers.

python benchmarks/latency.py [--seconds N] [--only NAME...]

Cameras are real RTSP servers in processes of their own, on the same machine as streamcam, whose cores they share.
Writes the section "live" of RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import REPOSITORY, log_progress, machine_summary, table, write_section

sys.path.insert(0, str(REPOSITORY))
from tests.rtsp_server import RtspServer, free_port

SIZE = 640, 360
RATE = 25
WARM_UP_SECONDS = 20
"""Seconds at the beginning that are not measured: the model is compiled in them."""


class Live:
    """A run of ``streamcam live``, observed from outside once a second.

    Attributes:
        samples: seconds, resident memory (MiB), threads, descriptors, and the status of ``/api/status``.
    """

    def __init__(self, cameras: list[RtspServer], seconds: float, *options: str) -> None:
        self.port = free_port()
        self.samples: list[tuple[float, float, int, int, dict[str, Any]]] = []
        command = [sys.executable, "-m", "streamcam", "live", *(camera.url for camera in cameras), "--json", "--quiet"]
        command += ["--http", f"127.0.0.1:{self.port}", "--duration", str(seconds), *options]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        self._start_time = time.monotonic()

    def status(self) -> dict[str, Any] | None:
        """Return the status of the API; None before it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return None

    def wait_until_ready(self) -> None:
        """Wait for the first map, then for the warm-up."""
        while True:
            status = self.status()
            if status and all(camera["explained_fps"] for camera in status["cameras"]):
                break
            if self._process.poll() is not None:
                sys.exit("streamcam live ended early")
            time.sleep(0.2)
        time.sleep(WARM_UP_SECONDS)

    def sample(self, seconds: float) -> None:
        """Sample for some seconds, or until the run ends."""
        until = time.monotonic() + seconds
        process = Path(f"/proc/{self._process.pid}")
        while time.monotonic() < until and self._process.poll() is None:
            status = self.status()
            with contextlib.suppress(OSError):
                fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
                memory, threads = int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"])
                descriptors = len(list((process / "fd").iterdir()))
                if status:
                    now = time.monotonic() - self._start_time
                    self.samples.append((now, memory, threads, descriptors, status))
            time.sleep(1)

    def result(self) -> dict[str, Any]:
        """Return the JSON summary at the end."""
        output, _ = self._process.communicate(timeout=120)
        if self._process.returncode:
            sys.exit(f"streamcam live ended with {self._process.returncode}")
        return dict(json.loads(output.splitlines()[-1]))

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()

    def values(self, camera: int, name: str) -> list[float]:
        """Return a value of one camera over all samples."""
        return [sample[4]["cameras"][camera][name] for sample in self.samples]


@contextlib.contextmanager
def cameras(count: int = 1, size: tuple[int, int] = SIZE) -> Iterator[list[RtspServer]]:
    """So many running cameras."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(RtspServer()) for _ in range(count)]
        for server in servers:
            server.start(size, RATE)
        yield servers


@contextlib.contextmanager
def live(servers: list[RtspServer], seconds: float, *options: str) -> Iterator[Live]:
    run = Live(servers, seconds, *options)
    try:
        yield run
    finally:
        run.kill()


class Viewers:
    """Browsers' stand-ins: each reads a camera's stream and counts its frames; idle ones read nothing."""

    def __init__(self, port: int, reading: int, idle: int = 0) -> None:
        self.counts = [0] * reading
        self._sockets = []
        for number in range(reading + idle):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"GET /cameras/cam1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            self._sockets.append(connection)
            if number < reading:
                threading.Thread(target=self._read, args=(number, connection), daemon=True).start()

    def _read(self, number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(1 << 18):
                self.counts[number] += len(re.findall(rb"Content-Length", data, re.IGNORECASE))

    def close(self) -> None:
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def slope(times: list[float], latencies_ms: list[float]) -> tuple[float, float]:
    """Growth of the latency in ms a minute by least squares, and twice its standard error."""
    x, y = np.array(times) / 60, np.array(latencies_ms)
    fitted, covariance = np.polyfit(x, y, 1, cov=True)
    return float(fitted[0]), 2 * float(covariance[0, 0] ** 0.5)


def slow_model(seconds: float) -> list[tuple[str, ...]]:
    rows = []
    held = ("--max-explain-fps", "5")
    for name, options in (("held to 5 fps", held), ("Score-CAM, as fast as it gets", ("--method", "scorecam"))):
        with cameras() as servers, live(servers, seconds + 120, *options) as run:
            run.wait_until_ready()
            run.sample(seconds)
        growth, doubt = slope([s[0] for s in run.samples], [a["p50"] for a in run.values(0, "latency")])
        memory = [sample[1] for sample in run.samples]
        rows += [
            (name, "explained fps", f"{statistics.median(run.values(0, 'explained_fps')):.1f}", ""),
            (name, "shown fps", f"{statistics.median(run.values(0, 'fps')):.1f}", ""),
            (
                name,
                "latency, largest p99 of 10 s",
                f"{max(a['p99'] for a in run.values(0, 'latency')):.0f} ms",
                "≤ 500 ms",
            ),
            (name, "growth of the median latency", f"{growth:+.2f} ± {doubt:.2f} ms a minute", "0 within noise"),
            (name, "memory, least to most", f"{min(memory):.0f}–{max(memory):.0f} MiB", "± 5 %"),
        ]
    return rows


def one_camera(seconds: float) -> list[tuple[str, ...]]:
    with cameras() as servers, live(servers, seconds + 120) as run:
        run.wait_until_ready()
        viewers = Viewers(run.port, 1)
        run.sample(5)
        run.samples = []
        run.sample(seconds)
        viewers.close()
    name = "embedded model, page open"
    return [
        (name, "explained fps", f"{statistics.median(run.values(0, 'explained_fps')):.1f}", "≥ 20"),
        (name, "latency, median p50", f"{statistics.median(a['p50'] for a in run.values(0, 'latency')):.0f} ms", ""),
        (
            name,
            "latency, median p99 of 10 s",
            f"{statistics.median(a['p99'] for a in run.values(0, 'latency')):.0f} ms",
            "",
        ),
        (name, "latency, largest p99 of 10 s", f"{max(a['p99'] for a in run.values(0, 'latency')):.0f} ms", "≤ 200 ms"),
    ]


def four_cameras(seconds: float) -> list[tuple[str, ...]]:
    with cameras(4) as servers, live(servers, 3 * seconds + 180) as run:
        run.wait_until_ready()
        run.sample(seconds)
        before = run.samples
        servers[3].freeze()
        run.samples = []
        run.sample(30)
        frozen = run.samples[5:]
        servers[3].unfreeze()
    name, rows = "four cameras", []
    explained = _rates(before, "frames_explained")
    share = sum(explained) / 4
    rows.append((name, "explained fps, each", ", ".join(f"{count:.1f}" for count in explained), "± 20 % of a quarter"))
    rows.append((name, "furthest from a fair share", f"{max(abs(c / share - 1) for c in explained):.1%}", "≤ 20 %"))
    shown = _rates(before, "frames_shown"), _rates(frozen, "frames_shown")
    rows.append((name, "shown fps before", ", ".join(f"{count:.1f}" for count in shown[0]), ""))
    rows.append((name, "shown fps, the fourth frozen for 30 s", ", ".join(f"{count:.1f}" for count in shown[1]), ""))
    change = min(after / before - 1 for before, after in zip(shown[0][:3], shown[1][:3], strict=True))
    rows.append((name, "largest loss of the others", f"{-min(change, 0.0):.1%}", "≤ 5 %"))
    return rows


def _rates(samples: list[tuple[float, float, int, int, dict[str, Any]]], name: str) -> list[float]:
    """Of each camera, how many a second between the first and the last sample."""
    (first, *_, begin), (last, *_, end) = samples[0], samples[-1]
    pairs = zip(begin["cameras"], end["cameras"], strict=True)
    return [(after[name] - before[name]) / (last - first) for before, after in pairs]


def many_viewers(seconds: float) -> list[tuple[str, ...]]:
    name, rows, rates = "20 viewers, one reads nothing", [], []
    with cameras() as servers, live(servers, 4 * seconds + 180) as run:
        run.wait_until_ready()
        for reading, idle in ((1, 0), (19, 1), (1, 0), (19, 1)):
            group = Viewers(run.port, reading, idle)
            time.sleep(5)
            run.samples, group.counts = [], [0] * reading
            began = time.monotonic()
            run.sample(seconds)
            received = min(group.counts) / (time.monotonic() - began)
            rates.append((_rates(run.samples, "frames_shown")[0], _rates(run.samples, "frames_explained")[0]))
            group.close()
            rows.append((name, f"{reading + idle} viewing: shown, explained, received fps",
                         f"{rates[-1][0]:.1f}, {rates[-1][1]:.1f}, {received:.1f}", ""))  # fmt: skip
    one, many = (statistics.mean(rates[n][0] for n in part) for part in ((0, 2), (1, 3)))
    rows.append((name, "change of the shown fps", f"{many / one - 1:+.1%}", "± 5 %"))
    return rows


SLOW_CLIENTS = 200


def slow_clients(seconds: float) -> list[tuple[str, ...]]:
    """Clients that send a header a second and never end their request; one that is closed is opened again."""
    name, rows = f"{SLOW_CLIENTS} slow connections", []
    stop = threading.Event()
    opened = [0] * SLOW_CLIENTS

    def drip(number: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", run.port)) as client:
                opened[number] += 1
                client.sendall(b"GET / HTTP/1.1\r\n")
                while not stop.wait(1):
                    client.sendall(b"X-Slow: 1\r\n")

    with cameras() as servers, live(servers, 2 * seconds + 180) as run:
        run.wait_until_ready()
        for part in ("before", "meanwhile"):
            threads = [threading.Thread(target=drip, args=(n,)) for n in range(SLOW_CLIENTS)]
            if part == "meanwhile":
                for thread in threads:
                    thread.start()
            run.samples = []
            run.sample(seconds)
            dropped = run.values(0, "frames_dropped")
            shown, explained = (_rates(run.samples, f"frames_{kind}")[0] for kind in ("shown", "explained"))
            rows += [
                (name, f"{part}: shown, explained fps", f"{shown:.1f}, {explained:.1f}", ""),
                (name, f"{part}: frames dropped", f"{dropped[-1] - dropped[0]:.0f}", "0"),
            ]
        stop.set()
        for thread in threads:
            thread.join()
    rows.append((name, "connections opened, most descriptors", f"{sum(opened)}, {max(s[3] for s in run.samples)}", ""))
    return rows


RECONNECTS = 200
WARM_UP_RECONNECTS = 20
"""Reconnects after which the memory before is taken."""


def reconnects(seconds: float) -> list[tuple[str, ...]]:
    name = "server killed and started again, 640x360 and 320x240 in turn"
    waits = []
    with cameras() as servers, live(servers, 3600) as run:
        run.wait_until_ready()
        server, sizes = servers[0], [(320, 240), SIZE]
        while len(waits) < RECONNECTS * seconds / SECONDS["reconnects"]:
            server.kill()
            size = sizes[len(waits) % 2]
            server.start(size, RATE)
            began = time.monotonic()
            while True:
                status = run.status()
                camera = status["cameras"][0] if status else {}
                if camera.get("width") == size[0] and camera.get("state") == "live":
                    break
                time.sleep(0.05)
            waits.append(time.monotonic() - began)
            run.sample(0.5)
    # Each size has a compiled method of its own, compiled with its first frame.
    first, last = run.samples[WARM_UP_RECONNECTS - 3 : WARM_UP_RECONNECTS], run.samples[-3:]
    (memory, threads, descriptors), after = (
        [statistics.median(sample[n] for sample in part) for n in (1, 2, 3)] for part in (first, last)
    )
    return [
        (name, "times", str(len(waits)), ""),
        (name, "until frames again: median, longest", f"{statistics.median(waits):.1f} s, {max(waits):.1f} s", ""),
        (name, "memory, after 20 and after all", f"{memory:.0f}, {after[0]:.0f} MiB", "± 5 %"),
        (name, "threads, likewise", f"{threads:.0f}, {after[1]:.0f}", "the same"),
        (name, "descriptors, likewise", f"{descriptors:.0f}, {after[2]:.0f}", "the same"),
    ]


SCENES: dict[str, Callable[[float], list[tuple[str, ...]]]] = {
    "slow": slow_model,
    "one": one_camera,
    "four": four_cameras,
    "viewers": many_viewers,
    "slow-clients": slow_clients,
    "reconnects": reconnects,
}
SECONDS = {"slow": 300, "one": 120, "four": 40, "viewers": 30, "slow-clients": 60, "reconnects": 600}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="of each scene; by default what each needs")
    parser.add_argument("--only", nargs="*", default=list(SCENES), choices=list(SCENES))
    options = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    for name in options.only:
        log_progress(name)
        for row in SCENES[name](options.seconds or SECONDS[name]):
            log_progress(" | ".join(row))
            rows.append(row)
    head = ("scene", "figure", "measured", "wanted")
    text = f"""## Live: end-to-end latency

`streamcam live` with its page, observed from outside once a second. Cameras are RTSP servers of {SIZE[0]}x{SIZE[1]} at
{RATE} fps that encode on the same cores. Latency is from a frame's arrival until it has gone to the outputs. The
first {WARM_UP_SECONDS} s after the first map are excluded. Made by `make bench-latency`.

Machine: {machine_summary()}.

{table(head, rows)}"""
    write_section("live", text)


if __name__ == "__main__":
    main()
