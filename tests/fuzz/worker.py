"""Process fuzz cases one after another: a line of JSON in, a line of JSON out.

    python -m tests.fuzz.worker FOLDER MODEL

A line of the input is ``{"number": N}``, or ``{"fault": NAME}`` for a fault that the fuzzer must detect.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import av
import av.error

from streamcam.cli.errors import to_streamcam_error
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import StreamcamError
from streamcam.explainer import Explainer
from streamcam.job import Job
from streamcam.options import CameraOptions, ExplainOptions, ModelOptions
from streamcam.pipeline import run
from streamcam.sources import open_camera

from .cases import choose_use, make_case

ADDRESS_SPACE_BYTES = 12 << 30
"""Stops a runaway before the machine suffers; the fuzzer compares the resident memory with a lower limit."""

_UNREADABLE = (".png", ".webp")
"""Outputs whose frames FFmpeg does not count: libwebp joins equal ones."""


def main(folder: Path, model: str) -> None:
    """Serve cases until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    explainer = load_explainer(
        ModelOptions(model=model, preprocess="none"), ExplainOptions(batch=1, precision="float32"), limit_threads=True
    )
    image_explainer = Explainer(model, preprocess=None, batch=1, precision="float32")
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    results.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        _reset_peak_memory()
        start_time = time.monotonic()
        if "fault" in request:
            answer = _provoke(request["fault"])
        else:
            answer = _process(request["number"], explainer, image_explainer)
        answer |= {"seconds": round(time.monotonic() - start_time, 2), "peak_bytes": _peak_memory()}
        results.write(json.dumps(answer) + "\n")


def _process(number: int, explainer: FrameExplainer, image_explainer: Explainer) -> dict[str, Any]:
    """Process one case; return what became of it."""
    case = make_case(number)
    use = choose_use(number, case)
    path = Path(f"case.{case.suffix}")
    path.write_bytes(case.data)
    answer: dict[str, Any] = {
        "kind": case.kind,
        "name": case.name,
        "use": str(use),
        "outcome": "done",
        "frames": 0,
    }
    output = path.with_name(f"out{use.suffix}")
    output.unlink(missing_ok=True)
    try:
        if use.command == "camera":
            camera = CameraOptions(url=str(path), realtime=False, timeout_seconds=5)
            answer["frames"] = sum(1 for _ in open_camera(camera))
        elif use.command == "explain":
            answer["frames"] = len(image_explainer.explain([path]).overlay())
        else:
            job = Job.from_options(path, output, overwrite=True, **use.window)
            answer["frames"] = run(job, explainer=explainer).frames_out
    except StreamcamError as error:
        answer |= {"outcome": "refused", "error": str(error)}
    except Exception as error:
        answer |= {"outcome": "foreign", "error": repr(error), "line": str(to_streamcam_error(error))}
    if output.exists() and use.suffix not in _UNREADABLE:
        answer["frames_in_file"] = _count_packets(output)
    if case.intact_bytes and use.command == "process":
        intact = _count_decodable(case.data[: case.intact_bytes], path.with_name(f"intact.{case.suffix}"))
        # The last frame before the damage may be decoded in part; FFmpeg drops others when it meets damage.
        answer["decodable"] = min(intact - 1, _count_decodable(case.data, path))
    return answer


def _count_packets(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except (av.error.FFmpegError, OSError, IndexError):
        return 0


def _count_decodable(data: bytes, path: Path) -> int:
    """Count the frames that plain PyAV decodes, errors skipped."""
    path.write_bytes(data)
    count = 0
    try:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            for packet in container.demux(video):
                try:
                    count += len(video.decode(packet))
                except av.error.FFmpegError:
                    continue
    except (av.error.FFmpegError, OSError, IndexError):
        pass
    return count


def _provoke(fault: str) -> dict[str, Any]:
    """Do what no input may cause."""
    match fault:
        case "abort":
            os.abort()
        case "hang":
            time.sleep(3600)
        case "memory":
            bytearray(1 << 28)[::4096] = b"x" * ((1 << 28) // 4096)
        case "foreign":
            return {"kind": "fault", "name": fault, "outcome": "foreign", "error": "ValueError()", "frames": 0}
        case "lost":
            return {"kind": "fault", "name": fault, "outcome": "done", "frames": 3, "decodable": 4}
    return {"kind": "fault", "name": fault, "outcome": "done", "frames": 0}


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Return the most bytes resident since `_reset_peak_memory`; since the start where Linux's files are missing."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
