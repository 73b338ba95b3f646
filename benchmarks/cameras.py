"""How many cameras fit: frames shown and explained a second, and their latency, at growing numbers of cameras.

python benchmarks/cameras.py [--seconds N] [--cameras N...] [--size WxH] [--write]

All cameras are clients of one RTSP server in a process of its own that replays an encoded clip, so that encoding
takes nothing from the cores of streamcam. All numbers of cameras are measured in one run, and the ratios to their
maximum are what counts. Writes the section "cameras" of RESULTS.md with --write.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from common import REPOSITORY, log_progress, machine_summary, table, write_section
from latency import RATE, Live, _rates

WARM_UP_SECONDS = 12
"""Seconds from the first map of every camera: larger batches are compiled, and the load settles."""


@contextlib.contextmanager
def replay_server(size: tuple[int, int]) -> Iterator[str]:
    """Serve a clip while the block runs; yield its URL."""
    command = [sys.executable, "tests/rtsp_replay.py", *map(str, (*size, RATE))]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def measure(url: str, count: int, seconds: float) -> dict[str, Any]:
    """Run so many cameras; return rates a second and latencies in ms."""
    run = Live([SimpleNamespace(url=url)] * count, 600)  # type: ignore[list-item]
    try:
        while True:
            status = run.status()
            if (
                status
                and status["ready"]
                and sum(camera["frames_explained"] > 0 for camera in status["cameras"]) >= count
            ):
                break
            if run._process.poll() is not None:
                sys.exit("streamcam live ended early")
            time.sleep(0.2)
        time.sleep(WARM_UP_SECONDS)
        load = os.getloadavg()[0]
        run.sample(seconds)
    finally:
        run.kill()
    shown, explained = _rates(run.samples, "frames_shown"), _rates(run.samples, "frames_explained")
    p99 = [max(camera["latency"]["p99"] for camera in sample[4]["cameras"]) for sample in run.samples]
    return {
        "cameras": count,
        "shown": sum(shown),
        "least_shown": min(shown),
        "explained": sum(explained),
        "least_explained": min(explained),
        "p99_ms": max(p99),
        "load": load,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--cameras", type=int, nargs="*", default=[12, 16, 24, 32])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    results = []
    with replay_server((width, height)) as url:
        for count in options.cameras:
            results.append(measure(url, count, options.seconds))
            log_progress(" ".join(f"{name}={value:.1f}" for name, value in results[-1].items()))
    most = max(result["explained"] for result in results)
    rows = [
        (
            f"{r['cameras']}",
            f"{r['shown']:.0f}",
            f"{r['least_shown']:.1f}",
            f"{r['explained']:.0f}",
            f"{r['least_explained']:.1f}",
            f"{r['explained'] / most:.0%}",
            f"{r['p99_ms']:.0f} ms",
            f"{r['load']:.1f}",
        )
        for r in results
    ]
    head = (
        "cameras",
        "shown fps, all",
        "least",
        "explained fps, all",
        "least",
        "of the maximum",
        "largest p99",
        "load",
    )
    text = f"""## Live: how many cameras fit

`streamcam live` with its page and cameras of {width}x{height} at {RATE} fps, which one server replays without
encoding. "least" is the camera with the fewest frames. Load is that of the machine over the last minute. Made by
`make bench-cameras`.

Machine: {machine_summary()}.

{table(head, rows)}"""
    log_progress(text)
    if options.write:
        write_section("cameras", text)


if __name__ == "__main__":
    main()
