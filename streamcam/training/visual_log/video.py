"""Inspect the model's input in a video run: decoded, resized and preprocessed frames, by the pipeline's own values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import describe_error
from ...frames import Frame, SourceInfo
from ...job import Job
from ...media.rgb import to_rgb
from ...notes import get_logger
from ...pipeline import RunCallbacks
from .log import VisualLog
from .page import write_page

logger = get_logger(__name__)

MAX_FRAMES, MIN_FRAMES, MAX_BYTES = 200, 8, 64 << 20
"""Frames that are inspected, evenly spaced, and the memory of their model inputs."""


class VideoInspector:
    """Record frames as the model gets them; `record` is called in the decoder's thread."""

    def __init__(self) -> None:
        self._log = VisualLog()
        self._inputs: list[Any] = []
        self._num_frames = 0
        self._count, self._step, self._limit = 0, 1, MAX_FRAMES
        self._has_failed = False

    def attach(self, callbacks: RunCallbacks) -> RunCallbacks:
        """Return callbacks that also record.

        Args:
            callbacks: of the run.
        """

        def on_open(info: SourceInfo) -> None:
            self._num_frames = info.num_frames or 0
            callbacks.on_open(info)

        return replace(callbacks, on_open=on_open, on_model_input=self.record)

    def record(self, frame: Frame) -> None:
        """Record a frame and its model input, if its turn has come.

        Args:
            frame: with its ``model_input``.
        """
        if self._count == 0:
            size = np.asarray(frame.model_input).nbytes
            self._limit = int(np.clip(MAX_BYTES // size, MIN_FRAMES, MAX_FRAMES))
            self._step = max(1, -(-self._num_frames // self._limit))
        is_chosen = self._count % self._step == 0 and len(self._inputs) < self._limit
        self._count += 1
        if not is_chosen or self._has_failed:
            return
        try:
            model_input = np.array(frame.model_input)
            decoded = _decoded(frame)
            if decoded is not None:
                self._log.record("decoded", decoded)
            self._log.record("resized", model_input)
            self._inputs.append(model_input)
        except Exception as error:  # the run goes on
            self._has_failed = True
            logger.warning("--inspect records no more frames: %s", describe_error(error))

    def save(self, path: Path, job: Job, name: str) -> None:
        """Preprocess the frames, run the checks, and write the page.

        Args:
            path: of the page.
            job: the run.
            name: of the input, for the heading.

        Raises:
            StreamcamError: the model cannot be loaded, or the page cannot be written.
        """
        from ...models.load import load_model
        from ...tf import keras, tf

        loaded, log = load_model(job.model), self._log
        log.set_model(loaded)
        for model_input in self._inputs:
            values = loaded.preprocess(tf.cast(model_input[None], tf.float32))
            log.record("model input", keras.ops.convert_to_numpy(values))
        # Still scenes repeat frames, and black ones are usual.
        faults = [fault for fault in log.faults() if fault.name not in ("duplicate", "constant")]
        for fault in faults:
            logger.warning("%s, stage %s: %s", fault.name, fault.stage, fault.words)
        write_page(
            log.evidence(),
            faults,
            path,
            overwrite=job.sink.overwrite,
            title=f"What {loaded.name} is fed from {name}",
            option="--inspect",
        )


def _decoded(frame: Frame) -> Any:
    """Return the decoded frame as RGB; None if it is in GPU memory."""
    source = frame.model_source
    if not hasattr(source, "to_ndarray") or source.format.name == "cuda":
        return None
    return to_rgb(source) if source.format.name != "rgb24" else source.to_ndarray(format="rgb24")
