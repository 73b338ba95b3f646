"""The measurements of gpu_check.py; each is one process and prints a JSON object.

python benchmarks/cases/gpu.py devices | video DEVICE | explainer DEVICE | maps DEVICE PRECISION METHOD...
    | xla DEVICE | xla_exit DEVICE | ratio DEVICE MODEL PRECISION plain|xla BATCH | clip PATH FRAMES
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "samples" / "samoyed_640_nogps.mp4"
TIMED_RUNS = 30


def devices() -> dict[str, Any]:
    from streamcam.engine import describe_devices
    from streamcam.engine.runtime.devices import resolve_devices
    from streamcam.methods import METHODS

    found = describe_devices()
    (device,) = resolve_devices("auto")
    return {**found, "device": device, "precisions": list(found["precisions"][device]), "methods": list(METHODS)}


def _import_tensorflow() -> float:
    """Import it as streamcam does; return the seconds."""
    started = time.perf_counter()
    from streamcam.tf import tf  # noqa: F401

    return time.perf_counter() - started


def video(device: str) -> dict[str, Any]:
    """Seconds from the imported TensorFlow to the first explained frame, and to the end."""
    import_seconds = _import_tensorflow()
    from streamcam.job import Job
    from streamcam.pipeline import RunCallbacks, run

    started, first = time.perf_counter(), []

    def on_frame(item: Any) -> None:
        if not first:
            first.append(time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder:
        job = Job.from_options(str(SAMPLE), str(Path(folder, "out.mp4")), device=device)
        summary = run(job, callbacks=RunCallbacks(on_frame=on_frame))
    total = time.perf_counter() - started
    return {
        "first_frame_seconds": round(first[0], 2),
        "total_seconds": round(total, 2),
        "import_seconds": round(import_seconds, 2),
        "frames": summary.frames_out,
        "notes": list(summary.notes),
    }


def explainer(device: str) -> dict[str, Any]:
    """Seconds from the imported TensorFlow to the map of one image."""
    import_seconds = _import_tensorflow()
    import streamcam

    image = _photographs((640, 480))[0]
    started = time.perf_counter()
    explanation = streamcam.Explainer(device=device).explain(image)
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 2),
        "import_seconds": round(import_seconds, 2),
        "precision": explanation.precision,
        "notes": list(explanation.notes),
    }


def maps(device: str, precision: str, *methods: str) -> dict[str, Any]:
    """Smallest cosine of each method's maps to those of the CPU in float32."""
    import streamcam
    from streamcam.engine.runtime.precision import cosine

    images, found = list(_photographs((320, 240))), {}
    for method in methods:
        try:
            results = [
                streamcam.Explainer(method=method, device=name, precision=arithmetic, target="Samoyed").explain(images)
                for name, arithmetic in (("cpu", "float32"), (device, precision))
            ]
        except streamcam.StreamcamError as error:
            print(f"{method}: {error}", file=sys.stderr)
            continue
        exact, other = (result.maps for result in results)
        found[method] = round(min(cosine(a, b) for a, b in zip(exact, other, strict=True)), 5)
    return found


def ratio(device: str, model: str, precision: str, compiler: str, batch: str) -> dict[str, Any]:
    """Milliseconds an image of Grad-CAM and of the bare model, in turns, with the same compiler."""
    import numpy as np

    from streamcam.engine.explainer import FrameExplainer
    from streamcam.engine.runtime.forward import load_forward
    from streamcam.frames import SourceInfo
    from streamcam.options import ExplainOptions, ModelOptions

    size, xla = (224, 224), compiler == "xla"
    options = ModelOptions(model=model, preprocess="auto" if model == "efficientnet-lite0" else "none")
    images = np.random.default_rng(0).integers(0, 256, (int(batch), size[1], size[0], 3), np.uint8)
    forward = load_forward(options, size, int(batch), precision, device, xla=xla)
    engine = FrameExplainer(options, ExplainOptions(batch=int(batch), precision=precision, device=device))
    source = SourceInfo("x", *size, "yuv420p", Fraction(1, 25), num_frames=int(batch))
    plain = engine.prepare(source).executable
    method = plain.method.load(device, precision, xla=True) if xla else plain
    runs = {"forward": lambda: forward(images), "gradcam": lambda: method(images)}
    first, seconds = {}, {name: [] for name in runs}
    for name, run in runs.items():
        started = time.perf_counter()
        for _ in range(3):
            run()
        first[name] = round(time.perf_counter() - started, 2)
    for _ in range(TIMED_RUNS if device.startswith("gpu") else 3):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    ms = {name: 1000 * sorted(times)[len(times) // 2] / int(batch) for name, times in seconds.items()}
    return {
        "ratio": round(ms["gradcam"] / ms["forward"], 3),
        **{f"{name}_ms": round(one, 4) for name, one in ms.items()},
        **{f"{name}_first_seconds": one for name, one in first.items()},
    }


def xla(device: str) -> dict[str, Any]:
    """Compile with XLA as a long run would; the second process finds the program in the cache."""
    from streamcam.notes import collect_notes
    from streamcam.xla_cache import keep_xla_programs

    prepared, notes = _prepare_xla(device), list[str]()
    with collect_notes(notes.append):
        started = time.perf_counter()
        prepared.xla._done = False  # also if the first process found it useless
        used = prepared.compile_now(always=True)
        seconds = time.perf_counter() - started
    folder = keep_xla_programs({})
    files = list(folder.iterdir()) if folder else []
    return {
        "used": used,
        "seconds": round(seconds, 2),
        "notes": notes,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }


def xla_exit(device: str) -> dict[str, Any]:
    """End the process during the compilation; its exit code is to be 3."""
    import threading

    prepared, loaded = _prepare_xla(device), threading.Event()
    assert prepared.xla is not None
    from streamcam.engine.runtime.background_xla import XlaFinding

    load = prepared.xla._load
    prepared.xla._load = lambda plain: (load(plain), loaded.set())[0]
    prepared.xla._expected = XlaFinding(1.5, 1.0, 0.0)
    batch, (width, height) = prepared.executable.batch, prepared.executable.size
    while not loaded.is_set():
        prepared.replicas[0](_photographs((width, height))[[0] * batch])
    sys.exit(3)


def _prepare_xla(device: str) -> Any:
    from streamcam.engine.explainer import FrameExplainer
    from streamcam.engine.runtime import background_xla
    from streamcam.frames import SourceInfo
    from streamcam.options import ExplainOptions, ModelOptions

    if device == "cpu":  # to try the script out, with TF_XLA_FLAGS=--tf_xla_cpu_global_jit
        background_xla.has_xla = lambda device: True
    engine = FrameExplainer(ModelOptions(), ExplainOptions(batch=2 if device == "cpu" else 16, device=device))
    return engine.prepare(SourceInfo("x", 224, 224, "yuv420p", Fraction(1, 25), num_frames=10**6))


def clip(path: str, frames: str) -> dict[str, Any]:
    """Write a 1080p clip in which everything moves."""
    from streamcam.bench.clip import write_synthetic

    write_synthetic(Path(path), (1920, 1080), int(frames))
    return {"bytes": Path(path).stat().st_size}


def _photographs(size: tuple[int, int]) -> Any:
    from streamcam.engine.runtime.precision import load_probe_images

    return load_probe_images(size)


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    cases = {one.__name__: one for one in (devices, video, explainer, maps, xla, xla_exit, ratio, clip)}
    print(json.dumps(cases[sys.argv[1]](*sys.argv[2:])))
