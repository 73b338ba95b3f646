"""Cost of a cluster over that of one machine: ``make bench-cluster``.

Two local nodes of one CPU each. All CPU seconds count: driver, Ray's own processes, workers. Starting up is excluded: a
frame's cost is the difference between a long and a short clip.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clips import RATE, UNIT_SECONDS, encode, repeat
from common import log_progress, machine_summary, measure, table, write_section

SHORT_SECONDS, LONG_SECONDS = 20, 120
_TICKS = os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds() -> float:
    """Return the CPU seconds of this process and all processes below it."""
    times, parents = dict[int, float](), dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
        times[int(folder.name)] = sum(map(int, fields[11:15])) / _TICKS
    inside = {os.getpid()}
    while found := {one for one, parent in parents.items() if parent in inside} - inside:
        inside |= found
    return sum(times[one] for one in inside)


def run_once(clip: Path, *, on_cluster: bool, out: Path) -> dict[str, float]:
    """Process a clip; return the CPU seconds of all processes, and the seconds that it took."""
    from streamcam.job import Job
    from streamcam.pipeline import run

    # The same segments of the encoder in both.
    job = Job.from_options(clip, out, record="auto", encoders=2)
    if not on_cluster:
        started = time.perf_counter()
        run(job)
        return {"cpu": tree_cpu_seconds(), "wall": time.perf_counter() - started}
    from ray.cluster_utils import Cluster

    from streamcam.cluster.run import run_on_cluster

    node: dict[str, Any] = {"object_store_memory": 200 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(**node, num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    cpu = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal cpu
        cpu = tree_cpu_seconds()  # before the workers are ended

    started = time.perf_counter()
    summary = run_on_cluster(job, "auto", on_progress=on_progress)
    report = {"cpu": cpu, "wall": time.perf_counter() - started, "tasks": sum(summary.stage_seconds.values())}
    cluster.shutdown()
    return report


def main() -> None:
    """Measure both, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="process this one here, and print the numbers")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.clip:
        print(json.dumps(run_once(options.clip, on_cluster=options.cluster, out=options.out)))
        return
    found: dict[tuple[bool, int], dict[str, float]] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder, "unit.mp4")
        encode(UNIT_SECONDS, unit)
        for seconds in (SHORT_SECONDS, LONG_SECONDS):
            clip = Path(folder, f"{seconds}.mp4")
            repeat(unit, seconds // UNIT_SECONDS, clip)
            for on_cluster in (False, True):
                out = Path(folder, f"{seconds}{on_cluster}.mp4")
                command = [sys.executable, __file__, "--clip", clip, "--out", out]
                found[on_cluster, seconds] = measure([*command, *(["--cluster"] if on_cluster else [])]).report
                log_progress(f"{seconds} s, cluster {on_cluster}: {found[on_cluster, seconds]}")
    frames = (LONG_SECONDS - SHORT_SECONDS) * RATE
    cost = {
        where: [(found[where, LONG_SECONDS][what] - found[where, SHORT_SECONDS][what]) / frames * 1e3 for what in names]
        for where in (False, True)
        for names in [("cpu", "wall")]
    }
    ratio = cost[True][0] / cost[False][0]
    rows = [
        (name, *(f"{value:.1f}" for value in cost[where]))
        for name, where in (("one machine, --record", False), ("two nodes of one CPU", True))
    ]
    text = f"""## Cluster

The clip of the section "Peers", 1280x720; default options, two encoders, with a record. A frame's cost is the
difference between {LONG_SECONDS} s and {SHORT_SECONDS} s, all processes of Ray included. Made by `make bench-cluster`.

Machine: {machine_summary()}. Load average before: {load:.1f}: the times are those of a shared machine.

{table(("run", "CPU, ms a frame", "wall, ms a frame"), rows)}

Overhead over the work of one machine: {ratio - 1:+.1%} CPU.
"""
    write_section("cluster", text)


if __name__ == "__main__":
    main()
