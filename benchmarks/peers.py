"""streamcam against the loops people write around other libraries, and against the hardware's bound.

python benchmarks/peers.py [--repeats N] [--quick] [--only NAME...]

Every case runs in a fresh process on a short and on a long clip, the cases one after another, in turning order; what
a frame costs is the difference of the two, so that the start-up does not count. A warm-up run
goes before, because the first run may have to read the case's files from disk. Writes the section "Peers" of RESULTS.md
and the raw figures to ``benchmarks/work/peers.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import environments
from common import (
    BENCHMARKS,
    REPOSITORY,
    WORK,
    ProcessMeasurement,
    format_median,
    log_progress,
    machine_summary,
    measure,
    streamcam_command,
    table,
    usable_cores,
    write_section,
)

from streamcam.options import SinkOptions
from streamcam.sinks.codecs import choose_encoder

CASES = BENCHMARKS / "cases"
WEIGHTS, CLOSED_FORM = WORK / "weights.npz", WORK / "maps-closed-form.npz"
USUAL, SLOW, WARM = (5, 20), (1, 4), 1
"""Seconds of the short and the long clip, of those for a slow case, and of the one that does not count."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        name: short, for the command line and file names.
        title: for the table.
        script: of ``cases/`` with its flags; for streamcam itself, its arguments, beginning with ``process``.
        python: interpreter of its environment.
        seconds: lengths of its short and its long clip.
        target: how many times faster than this streamcam has to be, in wall time.
    """

    name: str
    title: str
    script: tuple[str, ...]
    python: Path
    seconds: tuple[int, int] = USUAL
    target: float | None = None

    @property
    def ours(self) -> bool:
        return self.script[0] == "process"

    @property
    def out(self) -> Path:
        return WORK / f"out-{self.name}.mp4"

    def command(self, clip: Path, *, check: bool = False) -> list[str | Path]:
        out = WORK / f"maps-{self.name}.npz" if check else self.out
        out.unlink(missing_ok=True)
        script, *flags = self.script
        if self.ours:
            return [*streamcam_command(clip, out), *flags]
        command: list[str | Path] = [
            self.python,
            CASES / script,
            "--clip",
            clip,
            "--weights",
            WEIGHTS,
            "--out",
            out,
            *flags,
        ]
        return [*command, "--check"] if check else command


THIS = Path(sys.executable)
FASTEST = "streamcam-ultrafast"
ENCODER = choose_encoder(SinkOptions(path=Path("out.mp4")))[2]
"""The options that streamcam gives x264 by default."""
ALL = (
    Case("streamcam", "(d) streamcam", ("process",), THIS),
    Case(FASTEST, "(d′) the same with `--preset ultrafast`", ("process", "--preset", "ultrafast"), THIS),
    Case(
        "tf-explain",
        "(a) OpenCV + tf-explain, frame by frame",
        ("peer_tf_explain.py",),
        environments.python("keras"),
        SLOW,
        28,
    ),
    Case(
        "tf-keras-vis",
        "(b) OpenCV + tf-keras-vis, batches of 16",
        ("peer_tf_keras_vis.py",),
        environments.python("keras"),
        target=7,
    ),
    Case(
        "pytorch-grad-cam",
        "(c) OpenCV + pytorch-grad-cam, batches of 16",
        ("peer_pytorch_grad_cam.py",),
        environments.python("torch"),
        target=6,
    ),
    Case(
        "pytorch-grad-cam-tuned",
        "(c′) the same, tuned by hand",
        ("peer_pytorch_grad_cam.py", "--tuned"),
        environments.python("torch"),
    ),
    Case("bound", "bound: transcode + forward passes", ("bound.py", "--encoder", json.dumps(ENCODER)), THIS),
)


@dataclass(frozen=True, slots=True)
class RunPair:
    """A case on the short and on the long clip, and bytes a second of what it wrote of the long one."""

    short: ProcessMeasurement
    long: ProcessMeasurement
    bytes_per_second: float

    @property
    def frames(self) -> int:
        return frames(self.long) - frames(self.short)

    @property
    def wall_ms(self) -> float:
        """Milliseconds a frame."""
        return 1000 * (self.long.wall_seconds - self.short.wall_seconds) / self.frames

    @property
    def cpu_ms(self) -> float:
        """Milliseconds a frame."""
        return 1000 * (self.long.cpu_seconds - self.short.cpu_seconds) / self.frames

    @property
    def startup_seconds(self) -> float:
        """Seconds of wall time that do not grow with the clip."""
        return self.short.wall_seconds - frames(self.short) * self.wall_ms / 1000

    def stage_cpu_ms(self, name: str) -> float:
        """CPU milliseconds a frame of one part of the bound."""
        short, long = (float(run.report["stage_cpu"][name]) for run in (self.short, self.long))
        return 1000 * (long - short) / self.frames


def frames(run: ProcessMeasurement) -> int:
    return int(run.report["frames_out"] if "frames_out" in run.report else run.report["frames"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares streamcam with its peers; see benchmarks/RESULTS.md.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one repeat on short clips; writes no results")
    parser.add_argument("--only", nargs="+", choices=[case.name for case in ALL], help="these cases; writes no results")
    options = parser.parse_args()
    cases = [case for case in ALL if options.only is None or case.name in options.only]
    repeats = options.repeats
    if options.quick:
        cases, repeats = [replace(case, seconds=SLOW) for case in cases], 1

    WORK.mkdir(exist_ok=True)
    for name in ("keras", "torch"):
        environments.make(name)
    for seconds in {WARM, *SLOW, *USUAL}:
        subprocess.run([THIS, BENCHMARKS / "clips.py", str(seconds), clip(seconds)], check=True)
    cosines = check(ALL)
    log_progress(f"smallest cosine with the closed form: {cosines}")

    pairs = run_all(cases, repeats)
    text = report(cases, pairs, cosines)
    print(text)
    if not options.quick and options.only is None:
        write_section("peers", text)


def clip(seconds: int) -> Path:
    """Where the clip of so many seconds lies."""
    return WORK / f"{seconds}s.mp4"


def check(cases: Sequence[Case]) -> dict[str, float]:
    """Export the weights, and check that every case explains the same class by the same map."""
    compared = [case for case in cases if case.name not in ("bound", FASTEST)]
    maps = {case.name: WORK / f"maps-{case.name}.npz" for case in compared}
    reference = [THIS, CASES / "reference.py", clip(max(USUAL)), WEIGHTS, CLOSED_FORM, maps["streamcam"]]
    subprocess.run(reference, check=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    for case in compared:
        if not case.ours:
            measure(case.command(clip(max(USUAL)), check=True))
    named = (f"{name}={path}" for name, path in maps.items())
    return measure([THIS, CASES / "agreement.py", CLOSED_FORM, *named]).report


def run_all(cases: Sequence[Case], repeats: int) -> dict[str, list[RunPair]]:
    """Each case so many times, every round beginning with another one."""
    pairs: dict[str, list[RunPair]] = {case.name: [] for case in cases}
    with (WORK / "peers.jsonl").open("w") as log:
        for repeat in range(repeats):
            turn = repeat * len(cases) // repeats
            for case in (*cases[turn:], *cases[:turn]):
                measure(case.command(clip(WARM)))
                short, long = (measure(case.command(clip(seconds))) for seconds in case.seconds)
                pair = RunPair(short, long, case.out.stat().st_size / max(case.seconds))
                for run in (pair.short, pair.long):
                    log.write(json.dumps({"case": case.name, "repeat": repeat, **asdict(run)}) + "\n")
                log_progress(
                    f"{repeat + 1}/{repeats} {case.name}: wall {pair.wall_ms:.1f}, CPU {pair.cpu_ms:.1f} ms a frame"
                )
                pairs[case.name].append(pair)
    return pairs


def report(cases: Sequence[Case], pairs: dict[str, list[RunPair]], cosines: dict[str, float]) -> str:
    """Format the section."""
    head = (
        "case",
        "wall, ms a frame",
        "frames a second",
        "CPU, ms a frame",
        "start-up, s",
        "peak memory, MiB",
        "output, Mbit/s",
        "frames",
    )
    rows = [_row(case, pairs[case.name]) for case in cases]
    agreed = ", ".join(f"{name} {cosine:.4f}" for name, cosine in cosines.items())
    parts = [
        "## Peers",
        _PREFACE,
        f"Machine: {machine_summary()}. Packages: {_packages(pairs)}.",
        table(head, rows),
        _ratios(cases, pairs) if "streamcam" in pairs else "",
        _bound_summary(pairs["bound"]) if "bound" in pairs else "",
        f"All cases see the same top class. Smallest cosine of each one's map with the closed form: {agreed}.",
    ]
    return "\n\n".join(part for part in parts if part)


_PREFACE = f"""\
One clip (the Samoyed sample, 1280x720, 25 frames a second, H.264, no audio) and one set of weights (EfficientNet-Lite0
as streamcam ships it) for all. Each case is a fresh process; a frame's cost is the difference between {USUAL[1]} s and
{USUAL[0]} s of the clip (for tf-explain, which is slow, between {SLOW[1]} s and {SLOW[0]} s), so that starting up is
excluded. Medians, smallest and largest in brackets. Made by `make bench-peers`.

The peers are loops as their users write them: `cv2.VideoCapture`, resize, the library, `applyColorMap` and
`addWeighted`, `cv2.VideoWriter`. In their favour: they write MPEG-4 Part 2, cheaper than the H.264 that streamcam
writes, because OpenCV's wheels have no x264; they get the class to explain; nothing is written on the
frame; tf-explain's own blending and tf-keras-vis' enlarging are excluded. tf-explain and tf-keras-vis run on
Keras 2 (`tf_keras`), for which they were written (on Keras 3 the first is a third slower, the second no faster).
pytorch-grad-cam has a stand-in for torchvision, from which it imports four names that Grad-CAM does not call; (c) is
what its documentation shows, (c′) adds channels-last memory and ends the backward pass at the target layer by
freezing the weights before it. (d) is what streamcam does by default and what the bound encodes like; (d′) shows how
much of it is H.264's, whose fastest preset makes larger files at the same quality; "possible here" refers to (d)."""


def _row(case: Case, pairs: Sequence[RunPair]) -> tuple[str, ...]:
    def column(value: Callable[[RunPair], float], digits: int = 1) -> str:
        return format_median([value(pair) for pair in pairs], digits)

    return (
        case.title,
        column(lambda pair: pair.wall_ms),
        column(lambda pair: 1000 / pair.wall_ms),
        column(lambda pair: pair.cpu_ms),
        column(lambda pair: pair.startup_seconds),
        column(lambda pair: pair.long.peak_memory_mib, 0),
        f"{8e-6 * pairs[0].bytes_per_second:.1f}",
        f"{frames(pairs[0].long)} − {frames(pairs[0].short)}",
    )


def _ratios(cases: Sequence[Case], pairs: dict[str, list[RunPair]]) -> str:
    ours, fastest = pairs["streamcam"], pairs.get(FASTEST, [])
    floors = [_min_wall_ms(pair) for pair in pairs.get("bound", [])]
    rows = []
    for case in cases:
        theirs = pairs[case.name]
        wall = [their.wall_ms / our.wall_ms for their, our in zip(theirs, ours, strict=True)]
        cpu = [their.cpu_ms / our.cpu_ms for their, our in zip(theirs, ours, strict=True)]
        fast = [their.wall_ms / our.wall_ms for their, our in zip(theirs, fastest, strict=False)]
        largest_possible = (
            format_median([pair.wall_ms / floor for pair, floor in zip(theirs, floors, strict=False)])
            if floors
            else "–"
        )
        if case.name == "bound":
            rows.append(
                ("streamcam ÷ bound", "–", "–", format_median([1 / ratio for ratio in cpu], 2), "CPU ≤ 1.10", "–")
            )
        elif not case.ours:
            target = f"wall ≥ {case.target:g}" if case.target else "–"
            to_fastest = format_median(fast) if fast else "–"
            rows.append(
                (
                    f"{case.title} ÷ streamcam",
                    format_median(wall),
                    to_fastest,
                    format_median(cpu),
                    target,
                    largest_possible,
                )
            )
    head = ("ratio within a round", "wall", "wall, to (d′)", "CPU", "wanted", "largest wall ratio possible here")
    return table(head, rows)


def _bound_summary(pairs: Sequence[RunPair]) -> str:
    transcode, forward = (
        format_median([pair.stage_cpu_ms(name) for pair in pairs]) for name in ("transcode", "forward")
    )
    min_wall = format_median([_min_wall_ms(pair) for pair in pairs])
    return (
        f"The bound's CPU time is {transcode} ms for the transcode and {forward} ms for the forward pass "
        f"({pairs[0].long.report['precision']}). Its two parts run one after the other, so its own wall time bounds "
        f"nothing; its CPU time spread evenly over {usable_cores()} cores, {min_wall} ms a "
        "frame, does, and the last column of the ratios is against that."
    )


def _min_wall_ms(bound: RunPair) -> float:
    """Return the least possible wall time of a frame in milliseconds: the bound's work spread evenly over all cores."""
    return bound.cpu_ms / usable_cores()


def _packages(pairs: dict[str, list[RunPair]]) -> str:
    found: dict[str, set[str]] = {}
    for measured in pairs.values():
        for name, version in measured[0].long.report.get("packages", {}).items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in sorted(found.items()))


if __name__ == "__main__":
    main()
