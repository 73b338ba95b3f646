"""Run a job on a cluster."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..begun_output import is_begun_output
from ..chunks import CHUNK_FRAMES, plan_run
from ..compose import drawn_info
from ..errors import OptionError
from ..job import Job, RenderJob
from ..notes import collect_notes, get_logger
from ..options import RecordOptions
from ..pipeline import RunCallbacks, run
from ..record import RecordFolder
from ..run_record import find_finished, find_run
from ..sinks import open_sink
from ..sinks.video import VideoSink
from ..sources import open_source
from ..sources.container import check_input
from ..stored_video import segment_check
from ..summary import Summary
from .actors import WorkerLoop
from .address import check_address, connect
from .files import job_files
from .join import join_chunks
from .results import NoPlanError, Results
from .scripts import ChunkScripts
from .urls import check_writable, fetch, file_name, is_remote, upload

logger = get_logger(__name__)

WORKER = "streamcam.cluster.worker:ChunkWorker"

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
"""Outputs that the workers encode; others are drawn from the record, on the machine of the driver."""

Progress = Callable[[int, int], None]


def run_on_cluster(
    job: Job,
    address: str,
    *,
    output_url: str = "",
    callbacks: RunCallbacks | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Summary:
    """Explain, draw and encode an input on a cluster.

    The record is kept, in ``OUTPUT.streamcam`` by default: it holds the chunks that are done, and ``resume`` continues
    it. A source that has no chunks is processed on this machine.

    Args:
        job: what to do; the input may be a URL that fsspec opens. Functions are given by import strings.
        address: ``auto``, ``local`` or ``ray://HOST:PORT``.
        output_url: where to copy the complete output; empty for nowhere.
        callbacks: hooks for a user interface; frames are not reported one by one.
        on_progress: called with frames done and in all, about once a chunk.

    Raises:
        StreamcamError: the job cannot be done; chunks that are done are kept.
    """
    check_address(address)
    if job.sink.encoder != "cpu":
        raise OptionError(f"--encoder {job.sink.encoder} with --cluster", expected="cpu")
    callbacks = callbacks or RunCallbacks()
    notes, started = list[str](), time.perf_counter()
    job = replace(job, sink=replace(job.sink, record=job.sink.record or "auto"))
    if output_url:
        check_writable(output_url, overwrite=job.sink.overwrite or job.sink.resume)
    with collect_notes(notes.append), contextlib.ExitStack() as stack:
        local, remote = _fetch_input(job)
        check_input(local.source.url)
        summary = None
        if find_finished(local) is None:
            with contextlib.suppress(NoPlanError):
                # Before the model is loaded, the size of its maps is not known: the plan may still fail later.
                if plan_run(local.source, local.temporal, CHUNK_FRAMES) is None:
                    raise NoPlanError
                summary = _run_chunks(local, address, remote, callbacks, on_progress, stack)
            if summary is None:
                logger.info("%s has no chunks to work on separately: it is processed on this machine", local.source.url)
        if summary is None:
            stack.close()  # the folder of the record is unlocked
            summary = run(local, callbacks=callbacks)
        if output_url:
            upload(job.sink.path, output_url)
            job.sink.path.unlink()
        if remote:
            shutil.rmtree(Path(local.source.url).parent, ignore_errors=True)
    return replace(
        summary,
        output=output_url or summary.output,
        notes=tuple(dict.fromkeys(notes)),
        wall_seconds=round(time.perf_counter() - started, 3),
    )


def _fetch_input(job: Job) -> tuple[Job, dict[str, str]]:
    """Return the job with a local input; and if it was copied, its name and URL."""
    url = job.source.url
    if not is_remote(url):
        return job, {}
    assert job.sink.record_path is not None
    folder = job.sink.record_path.with_name(f"{job.sink.record_path.name}.input")
    path = folder / file_name(url)
    folder.mkdir(parents=True, exist_ok=True)
    fetch(url, folder)
    return replace(job, source=replace(job.source, url=str(path))), {str(path): url}


def _run_chunks(
    job: Job,
    address: str,
    remote: dict[str, str],
    callbacks: RunCallbacks,
    on_progress: Progress,
    stack: contextlib.ExitStack,
) -> Summary:
    path = job.sink.record_path
    assert path is not None
    draws = job.sink.path.suffix.lower() in VIDEO_SUFFIXES
    folder = RecordFolder(path, overwrite=job.sink.overwrite, resume=job.sink.resume)
    folder.check()
    stack.callback(folder.close)
    recorded = find_run(job, folder) if job.sink.resume else None
    if recorded is not None and is_begun_output(recorded, job.sink.path):
        job = replace(job, sink=replace(job.sink, overwrite=True))  # the output that was begun
    with open_source(job.source) as source:
        # Cheap failures first: the output is checked before a cluster is started.
        sink = open_sink(job.sink, drawn_info(job.draw, source.info, len(job.explain.target)))
        info, decoder = source.info, source.decoder
    takes = None
    if isinstance(sink, VideoSink):
        sink.store_chunks(lambda segment: None)  # encode in segments, as the workers do
        takes = segment_check(sink)
    results = Results(job, folder, recorded, draws=draws, on_progress=on_progress, takes_segment=takes)
    scripts = ChunkScripts(worker_job(job), job_files(job), remote, results)
    callbacks.on_open(info)
    with connect(address) as ray:
        loop = WorkerLoop(ray, WORKER, job.explain.device, scripts)
        try:
            loop.run(lambda: results.is_complete)
        finally:
            loop.close()
    results.storage.finish_record()
    if not draws:
        summary = _draw_here(job, path, callbacks)
        results.storage.finish_output(job.sink.path)
        return summary
    encoder, num_frames, notes = join_chunks(job, results)
    for note in notes:
        logger.info("%s", note)
    results.storage.finish_output(job.sink.path)
    return results.summarize(encoder=encoder, decoder=decoder, num_frames=num_frames)


def worker_job(job: Job) -> Job:
    """Return the job of a worker: any device that Ray gives it, no record, no output to replace."""
    device = "cpu" if job.explain.device.startswith("cpu") else "auto"
    return replace(
        job,
        explain=replace(job.explain, device=device),
        sink=replace(job.sink, record=None, resume=False),
    )


def _draw_here(job: Job, record: Path, callbacks: RunCallbacks) -> Summary:
    """Draw an output that is no video from the record."""
    return run(
        RenderJob(
            record=RecordOptions(record=str(record), source=job.source.url),
            source=job.source,
            sink=replace(job.sink, record=None, resume=False),
            temporal=job.temporal,
            draw=job.draw,
        ),
        callbacks=callbacks,
    )
