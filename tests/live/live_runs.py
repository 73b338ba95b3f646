"""Live runs beside a test."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from streamcam.job import LiveJob
from streamcam.live.pipeline import run_live
from streamcam.live.status import Controller, Status
from streamcam.live.summary import LiveSummary
from streamcam.notes import collect_notes
from streamcam.options import CameraOptions, DrawOptions, ExplainOptions, ModelOptions

TIMEOUT_SECONDS = 90
"""Limit of all waits."""

SMALL_MODEL = ModelOptions(model="tests.pipeline.models:brightness", preprocess="none")
PATTERN = "lavfi:testsrc2=size=128x96:rate=25"


def job(
    *urls: str, explain: dict[str, Any] | None = None, camera: dict[str, Any] | None = None, **more: Any
) -> LiveJob:
    named = [
        url.partition("=")[::2] if "=" in url.partition(":")[0] else (f"cam{n}", url) for n, url in enumerate(urls, 1)
    ]
    return LiveJob(
        cameras=tuple(CameraOptions(url=url, name=name, **(camera or {})) for name, url in named),
        **{
            "model": SMALL_MODEL,
            "explain": ExplainOptions(**{"target": ("1",), "precision": "float32", **(explain or {})}),
            "draw": DrawOptions(),
            **more,
        },
    )


class Run:
    """A run in its own thread.

    Attributes:
        controller: the run's controller.
        messages: lines for the user.
    """

    def __init__(self, job: LiveJob) -> None:
        self.messages: list[str] = []
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._result: LiveSummary | BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._thread.start()
        assert self._opened.wait(TIMEOUT_SECONDS)

    def _run(self, job: LiveJob) -> None:
        @contextlib.contextmanager
        def serve(controller: Controller) -> Iterator[None]:
            self.controller = controller
            self._opened.set()
            yield

        try:
            with collect_notes(self.messages.append):
                self._result = run_live(job, serve=serve, stop_event=self._stop)
        except BaseException as error:
            self._result = error
        self._opened.set()

    def wait_until(self, condition: Callable[[Status], Any]) -> Status:
        """Return the status once the condition holds."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition(status := self.controller.status()):
            assert time.monotonic() < deadline, status
            if not self._thread.is_alive():
                raise AssertionError(f"the run has ended: {self._result!r}")
            time.sleep(0.02)
        return status

    def wait_for_explained(self, count: int = 1) -> Status:
        """Return the status once each camera has ``count`` more explained frames."""
        begun = [camera.frames_explained for camera in self.controller.status().cameras]
        return self.wait_until(
            lambda status: all(c.frames_explained >= n + count for c, n in zip(status.cameras, begun, strict=True))
        )

    def stop(self) -> LiveSummary:
        """Stop the run and return its summary; re-raise its error."""
        self._stop.set()
        return self.result()

    def result(self) -> LiveSummary:
        """Wait for the end and return the summary; re-raise the run's error."""
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result


@contextlib.contextmanager
def run_in_thread(of: LiveJob) -> Iterator[Run]:
    """Run while the block runs."""
    run = Run(of)
    try:
        yield run
    finally:
        run._stop.set()
        run._thread.join(TIMEOUT_SECONDS)
