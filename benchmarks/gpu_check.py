"""Check and measure streamcam on a GPU: start-up, maps, ratios, frames per second, scaling.

python benchmarks/gpu_check.py --out DIR [--quick] [SECTION...]

Each measurement is a fresh process with a time limit. Results are written as they come: what is cut off loses the rest
only. What the machine lacks is skipped with the reason. Without a GPU the CPU stands for it, so that the script is
known to run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import BENCHMARKS, REPOSITORY, machine_summary, usable_cores

CASE = BENCHMARKS / "cases" / "gpu.py"
LIMITS = {"startup": 5.0, "startup_second": 2.0, "explainer": 3.0, "float32": 0.999, "float16": 0.99}
MODELS = {"EfficientNet-Lite0": "efficientnet-lite0", "ResNet50": "benchmarks.random_models:resnet50"}


class Report:
    """Results by name; on the disk after each."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, dict[str, Any]()

    def add(self, name: str, result: Any) -> None:
        self.results[name] = result
        self.path.write_text(json.dumps(self.results, indent=1))
        print(f"{name}: {json.dumps(result)}", flush=True)


class Machine:
    """What is there, and how to run a case on it."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.started = time.monotonic()
        found = self.case("devices", cache="probe")
        self.device: str = found.get("device", "cpu")
        self.on_gpu = self.device.startswith("gpu")
        self.precisions: list[str] = found.get("precisions", ["float32"])
        self.description = found

    def case(self, *arguments: object, cache: str, limit: float = 240, **environment: str) -> dict[str, Any]:
        """Run one function of cases/gpu.py; return its report, or the reason of its failure."""
        command = [sys.executable, str(CASE), *(str(one) for one in arguments)]
        return run_json(command, limit, STREAMCAM_CACHE=str(self.folder / cache), **environment)


def run_json(command: list[str], limit: float, **environment: str) -> dict[str, Any]:
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"longer than {limit:.0f} s"}
    try:
        report = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError:
        report = {}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": f"exit code {done.returncode}: {lines[-1] if lines else ''}"}
    return {**report, "process_seconds": round(time.monotonic() - started, 2)}


def startup(machine: Machine, report: Report) -> None:
    """First frame of a video and first image, in seconds after the import of TensorFlow."""
    for name, limits in (("video", ("startup", "startup_second")), ("explainer", ("explainer", "explainer"))):
        for turn, limit in zip(("first", "second"), limits, strict=True):
            found = machine.case(name, machine.device, cache=f"startup-{name}")
            found["wanted"] = f"<= {LIMITS[limit]} s"
            report.add(f"startup, {name}, {turn} run", found)


def maps(machine: Machine, report: Report) -> None:
    """Each method on the GPU against the CPU."""
    methods = list(machine.description.get("methods", []))
    if not machine.on_gpu:
        report.add("maps, skipped", "no GPU: the CPU is compared with itself, two methods")
        methods = methods[:2]
    for precision in machine.precisions if machine.on_gpu else ["float32"]:
        found = machine.case("maps", machine.device, precision, *methods, cache="maps", limit=300)
        cosines = {name: value for name, value in found.items() if name in methods}
        failed = {name: value for name, value in cosines.items() if not value >= LIMITS.get(precision, 0.99)}
        result = {"wanted": f">= {LIMITS.get(precision, 0.99)}", "missing": sorted(set(methods) - set(cosines))}
        report.add(f"maps, {precision}", {**found, **result, "failed": failed})


def xla(machine: Machine, report: Report) -> None:
    """Compile, compile again from the cache, and end a process meanwhile."""
    flags = {} if machine.on_gpu else {"TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"}
    for turn in ("first", "second"):
        report.add(f"XLA, {turn} process", machine.case("xla", machine.device, cache="xla", **flags))
    found = machine.case("xla_exit", machine.device, cache="xla-exit", **flags)
    is_right = found.get("error", "").startswith("exit code 3:")
    report.add("XLA, end of the process meanwhile", {"exit code 3": True} if is_right else {"error": str(found)})


def ratios(machine: Machine, report: Report) -> None:
    """Grad-CAM over the bare forward pass, both plain, then both with XLA."""
    if not machine.on_gpu:
        report.add("ratios, XLA skipped", "no GPU")
    for title, model in MODELS.items():
        for precision in machine.precisions if machine.on_gpu else ["float32"]:
            for compiler in ("plain", "xla") if machine.on_gpu else ("plain",):
                batch = 2 if machine.quick else 16
                found = machine.case("ratio", machine.device, model, precision, compiler, batch, cache="ratios")
                report.add(f"Grad-CAM / forward pass, {title}, {precision}, {compiler}", found)


def fps(machine: Machine, report: Report) -> None:
    """``streamcam process`` on 1080p video, with each decoder and with several encoders."""
    frames = 48 if machine.quick else 1600
    clip = machine.folder / "1080p.mp4"
    made = machine.case("clip", clip, frames, cache="clip")
    if "error" in made:
        report.add("fps, clip", made)
        return
    has_encoders = "--encoders" in help_of("process")
    if not has_encoders:
        report.add("fps, --encoders skipped", "no such option")
    settings: dict[str, list[str]] = {"model on the CPU": ["--device", "cpu"]}
    if machine.on_gpu:
        settings |= {"CPU decoder": [], "NVDEC": ["--decoder", "nvdec"]}
    else:
        report.add("fps, NVDEC skipped", "no GPU")
    for name, options in settings.items():
        for encoders in [["--encoders", "1"], ["--encoders", "auto"]] if has_encoders else [[]]:
            command = [sys.executable, "-m", "streamcam", "process", str(clip), "-o", str(machine.folder / "out.mp4")]
            command += ["--overwrite", "--json", "--quiet", *options, *encoders]
            found = run_json(command, 180, STREAMCAM_CACHE=str(machine.folder / "fps"))
            known = ("fps", "frames_out", "seconds", "stages", "notes", "decoder", "device", "precision", "error")
            report.add(
                ", ".join(["fps", name, " ".join(encoders)]).rstrip(", "),
                {key: found[key] for key in (*known, "process_seconds") if key in found},
            )


def scaling(machine: Machine, report: Report) -> None:
    """``streamcam bench --scaling`` over the cores."""
    if "--scaling" not in help_of("bench"):
        report.add("scaling, skipped", "no such option")
        return
    frames = ["--frames", "24"] if machine.quick else []
    command = [sys.executable, "-m", "streamcam", "bench", "--scaling", "--json", *frames]
    clip = machine.folder / "1080p.mp4"
    command += [str(clip)] if clip.exists() else []
    report.add("scaling", run_json(command, 300, STREAMCAM_CACHE=str(machine.folder / "scaling")))


SECTIONS: dict[str, Callable[[Machine, Report], None]] = {
    "startup": startup,
    "maps": maps,
    "xla": xla,
    "ratios": ratios,
    "fps": fps,
    "scaling": scaling,
}


def help_of(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamcam", command, "--help"],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script out")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.out / "report.json")
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), arguments.quick)
        report.add("machine", {"summary": machine_summary(), "cores": usable_cores(), **machine.description})
        for name in arguments.sections or SECTIONS:
            started = time.monotonic()
            SECTIONS[name](machine, report)
            report.add(f"section {name}", {"seconds": round(time.monotonic() - started, 1)})
    failed = {name: one["error"] for name, one in report.results.items() if isinstance(one, dict) and one.get("error")}
    failed |= {
        name: one["failed"] for name, one in report.results.items() if isinstance(one, dict) and one.get("failed")
    }
    print(json.dumps({"failed": failed}), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
