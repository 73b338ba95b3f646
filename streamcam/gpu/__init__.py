"""Experimental: keep frames on the GPU from the decoder (NVDEC) to the encoder (NVENC).

Scaling and drawing run on the GPU. Only the model's input, a hundredth of a frame, and the maps
pass through CPU memory. `unavailable_reason` checks if a job's frames can stay; `frame_copy.py`, `resizer.py` and
`renderer.py` replace three stages of the pipeline.

The GPU draws the same frames as the CPU, with the same tables. A self-test in a separate process (`selftest.py`) checks
that once for this machine's GPU and drivers.
"""

from __future__ import annotations

from ..job import Job
from ..media.cuda import is_emulated
from ..notes import get_logger
from ..sinks.codecs import CONTAINERS, NVENC_ENCODERS, nvenc_unavailable_reason
from ..sources.container import nvdec_unavailable_reason as nvdec_unavailable_reason

logger = get_logger(__name__)

__all__ = ["report_environment", "unavailable_reason"]


def unavailable_reason(job: Job) -> str:
    """Return why a job's frames cannot stay on the GPU; empty if they can and the source's format allows it.

    Runs the self-test if there is no result yet, which takes seconds, and logs that.
    """
    if job.draw.size:
        return "--size scales frames on the CPU"
    suffix = job.sink.path.suffix.lower()
    if job.temporal.every == "auto":
        return "--every auto compares whole frames"
    if job.temporal.interpolation != "hold":
        return f"--interpolation {job.temporal.interpolation} compares frames"
    if suffix not in CONTAINERS:
        return "images are encoded by the CPU"
    codec = job.sink.codec or CONTAINERS[suffix][0]
    if not is_emulated():
        if codec not in NVENC_ENCODERS:
            return f"NVENC does not encode {codec}"
        if reason := nvdec_unavailable_reason() or nvenc_unavailable_reason(NVENC_ENCODERS[codec]):
            return reason
    from ..engine.runtime.devices import resolve_devices

    devices = resolve_devices(job.explain.device)
    if is_emulated():
        return "" if devices == ("cpu",) else "the model runs on several devices"
    if devices != ("gpu:0",):
        return "frames are decoded on gpu:0, so the model must run on gpu:0 only; use --device gpu:0"
    if reason := _selftest_result():
        return f"{reason} (streamcam doctor runs the self-test again)"
    return ""


def report_environment() -> dict[str, str]:
    """Return if frames can stay on the GPU, for ``streamcam doctor``; runs the self-test again."""
    reason = (
        nvdec_unavailable_reason() or nvenc_unavailable_reason(NVENC_ENCODERS["h264"]) or _selftest_result(rerun=True)
    )
    return {"gpu_pipeline": f"no: {reason}" if reason else "yes, from nvdec to nvenc"}


_results: dict[str, str] = {}
"""Results of the self-test in this process."""


def _selftest_result(*, rerun: bool = False) -> str:
    """Return the cached result of the self-test; a transient failure counts in this process only."""
    from ..engine.runtime.compile_cache import CompileCache
    from .selftest import run_selftest, selftest_key

    store, key_parts = CompileCache(), selftest_key()
    key, process_key = store.cache_key("gpu", *key_parts), repr(key_parts)
    if not rerun:
        result = _results.get(process_key, store.get_text(key))
        if result is not None:
            return result
    logger.info("testing once if frames can stay on the GPU; this takes seconds")
    _results[process_key], cacheable = run_selftest()
    if cacheable:
        store.put_text(key, _results[process_key])
    return _results[process_key]
