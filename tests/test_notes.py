"""Notes: `logging` records of one run, for its summary and the terminal."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import streamcam
from streamcam.concurrency.group import BackgroundOpen, StageGroup
from streamcam.notes import collect_notes

SMALL = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "precision": "float32"}
logger = logging.getLogger("streamcam.tests")


def test_two_runs_in_two_threads_do_not_mix() -> None:
    notes: dict[str, list[str]] = {"a": [], "b": []}
    together = threading.Barrier(2, timeout=30)

    def stage(name: str) -> list[str]:
        together.wait()
        logger.info("stage of %s", name)
        return [name]

    def run(name: str) -> None:
        with collect_notes(notes[name].append), StageGroup() as group:
            logger.info("start of %s", name)
            together.wait()
            list(group.prefetch((item for one in [name] for item in stage(one)), depth=1))

    threads = [threading.Thread(target=run, args=(name,)) for name in notes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == {name: [f"start of {name}", f"stage of {name}"] for name in notes}


def test_what_opens_in_the_background_logs_for_its_run() -> None:
    class Opened(threading.Event):
        def __enter__(self) -> Opened:
            logger.info("opened")
            return self

        def __exit__(self, *_: object) -> None:
            logger.info("closed")

    notes: list[str] = []
    with collect_notes(notes.append), BackgroundOpen(Opened) as opening:
        opening.result()
    assert notes == ["opened", "closed"]


def test_blocks_nest_and_end() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with collect_notes(outer.append):
        with collect_notes(inner.append):
            logger.info("one")
        logger.warning("two %d", 2)
    logger.warning("three")
    assert (outer, inner) == (["one", "two 2"], ["one"])


def test_python_users_see_the_notes_of_a_summary_with_logging(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", **SMALL)
    assert any(note.startswith("target layer ") for note in summary.notes)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("streamcam")] == list(
        summary.notes
    )


@pytest.mark.slow
def test_a_library_prints_nothing_by_itself(clip: Path, tmp_path: Path) -> None:
    code = f"import streamcam; assert streamcam.process({str(clip)!r}, {str(tmp_path / 'o.mp4')!r}, **{SMALL!r}).notes"
    root = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert (process.stdout, process.stderr) == ("", "")
