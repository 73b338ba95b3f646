"""The bookkeeping of several inputs, from made-up events of their process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from streamcam.cli.batch import Batch
from streamcam.errors import StreamcamError
from streamcam.job import Job


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """Three jobs; the output of the second one exists already."""
    (tmp_path / "b.mp4").write_text("precious")
    jobs = [(name, Job.from_options(f"in/{name}", tmp_path / name)) for name in ("a.mp4", "b.mp4", "c.mp4")]
    return Batch(jobs, quiet=True)


def begin(batch: Batch, *events: dict[str, Any]) -> None:
    """A new process has sent these events."""
    batch._process_jobs, batch._has_ended_any = batch._remaining, False
    for event in events:
        batch._handle(event)


def start(job: int) -> dict[str, Any]:
    return {"event": "start", "job": job}


def done(job: int, name: str) -> dict[str, Any]:
    return {"event": "done", "job": job, "summary": {"input": name}, "line": name}


def test_results_are_in_the_order_of_the_inputs(batch: Batch) -> None:
    failed = {"event": "failed", "job": 0, "error": "broken"}
    begin(batch, start(0), start(1), start(2), done(2, "c.mp4"), failed, done(1, "b.mp4"))
    assert batch.results == [{"input": "b.mp4"}, {"input": "c.mp4"}]
    assert batch.failed == [{"input": "in/a.mp4", "error": "broken"}]
    assert batch._remaining == []


def test_of_several_in_progress_none_fails_before_the_one_to_blame_is_known(batch: Batch) -> None:
    begin(batch, start(0), start(1))
    batch._handle_crash(-signal.SIGABRT)
    assert batch.failed == []
    assert batch._remaining == [0, 1, 2]
    assert batch._one_at_a_time
    # A part of its output may be there; what was there before is not replaced.
    assert [job.sink.overwrite for job in batch._jobs] == [True, False, False]
    begin(batch, start(0), done(0, "a.mp4"), start(1))
    batch._handle_crash(-signal.SIGABRT)
    assert [one["input"] for one in batch.failed] == ["in/b.mp4"]
    assert "SIGABRT" in batch.failed[0]["error"]
    assert batch._remaining == [2]
    assert not batch._one_at_a_time
    begin(batch, start(0), done(0, "c.mp4"))
    assert batch.results == [{"input": "a.mp4"}, {"input": "c.mp4"}]


def test_a_crashed_input_is_still_resumed(tmp_path: Path) -> None:
    jobs = [(name, Job.from_options(f"in/{name}", tmp_path / name, resume=True)) for name in ("a.mp4", "b.mp4")]
    batch = Batch(jobs, quiet=True)
    begin(batch, start(0), start(1))
    batch._handle_crash(-signal.SIGABRT)
    assert [job.sink.resume for job in batch._jobs] == [True, True]


def test_a_crash_that_no_input_causes_alone_keeps_them_apart(batch: Batch) -> None:
    begin(batch, start(0), start(1))
    batch._handle_crash(-signal.SIGKILL)
    begin(batch, start(0), done(0, "a.mp4"), start(1), done(1, "b.mp4"))
    assert batch._one_at_a_time
    assert batch._remaining == [2]


def test_a_process_that_ends_before_any_input_is_an_error(batch: Batch) -> None:
    begin(batch)
    with pytest.raises(StreamcamError, match="exit code 3"):
        batch._handle_crash(3)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("in/a.mp4 does not exist", "streamcam: in/a.mp4 does not exist"),
        ("a.mp4: broken", "streamcam: a.mp4: broken"),
        ("out/a.mp4 cannot be written", "streamcam: a.mp4: out/a.mp4 cannot be written"),
        ("the process ended", "streamcam: a.mp4: the process ended"),
    ],
)
def test_an_error_names_the_input_once(batch: Batch, capsys: pytest.CaptureFixture[str], error: str, line: str) -> None:
    begin(batch, start(0), {"event": "failed", "job": 0, "error": error})
    assert capsys.readouterr().err.splitlines() == [line]


def test_secrets_of_a_url_are_not_printed(tmp_path: Path) -> None:
    jobs = [("host/a.mp4", Job.from_options("http://me:secret@host/a.mp4", tmp_path / "a.mp4"))]
    batch = Batch(jobs, quiet=True)
    begin(batch, start(0), {"event": "failed", "job": 0, "error": "broken"})
    assert "secret" not in str(batch.failed)
    assert "host/a.mp4" in batch.failed[0]["input"]
