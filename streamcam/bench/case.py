"""One case of a benchmark, measured in a separate process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from ..errors import count_of
from ..job import Job, options_from_dict, options_to_dict
from ..sinks import default_suffix
from .clip import loop_clip

Stage: TypeAlias = Literal[
    "warm_up", "decode", "model", "draw", "encode", "encode_source", "end_to_end", "transcode", "forward"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A measurement of one process.

    Attributes:
        stage: ``warm_up`` prepares the other cases and is not measured itself. ``decode``: read the clip and scale it
            to the model's input. ``model``: the compiled method on decoded frames. ``draw``: maps on decoded frames.
            ``encode``: drawn frames into the output. ``encode_source``: the same frames without a map.
            ``end_to_end``: everything, as ``streamcam process`` runs it. ``transcode``: the clip into the output,
            without explanations. ``forward``: the model without any method.
        clip: path or URL; ``synthetic:WxH`` for ``warm_up``.
        frames: frames per repeat.
        repeats: how often to time it, after one untimed run.
        work_dir: folder for its output and for the data that ``warm_up`` prepared.
        device: name, or names joined by commas; empty for the stages without a model.
        batch: frames per model call; 0 for the stages without a model.
        precision: of ``forward``.
        xla: compile model and method with XLA, on a GPU.
        cores: CPU cores that its process may use, by affinity; 0 for all.
        options: flat options of `streamcam.job.Job.from_options`.
    """

    stage: Stage
    clip: str
    frames: int
    repeats: int
    work_dir: str
    device: str = ""
    batch: int = 0
    precision: str = ""
    xla: bool = False
    cores: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Stage, device and batch size in a few words."""
        label = {"end_to_end": "end to end", "forward": f"forward pass, {self.precision}"}.get(self.stage, self.stage)
        label += ", XLA" * self.xla
        cores = f", {count_of(self.cores, 'core')}" if self.cores else ""
        return f"{label}, {self.device}, batch {self.batch}{cores}" if self.device else label

    def job(self) -> Job:
        """Return the job that this case measures a part of.

        Raises:
            OptionError: an option's value cannot be used.
        """
        path = Path(self.work_dir) / f"{self.stage}{default_suffix(self.options.get('codec'))}"
        explain_options = {"batch": self.batch, "device": self.device or "auto"}
        source = loop_clip(self.clip, self.frames)
        return Job.from_options(source.url, path, **{**explain_options, **self.options, "overwrite": True})

    def to_json(self) -> str:
        """Return the case for the command line of its process."""
        return json.dumps(options_to_dict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the case that `to_json` described."""
        return options_from_dict(cls, json.loads(text))
