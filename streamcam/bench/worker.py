"""One case of a benchmark, in a process of its own: ``python -m streamcam.bench.worker JSON`` prints a JSON object.

Nothing else is printed on its standard output, and it ends early when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

from ..errors import OptionError, StreamcamError
from ..options import Job, make_job

Stage: TypeAlias = Literal[
    "prepare", "decode", "model", "draw", "encode", "encode_plain", "whole", "transcode", "forward"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one process measures.

    Attributes:
        stage: ``prepare`` looks what there is to be measured and is not measured itself. ``decode``: the clip read
            and scaled to the model's input. ``model``: the compiled method on pictures that are there. ``draw``: maps
            on pictures that are there. ``encode``: drawn pictures into the output. ``whole``: all of it, as
            ``streamcam process`` does it. ``transcode``: the clip into the output with nothing between. ``forward``:
            the model without any method.
        clip: path or URL; ``synthetic:WxH`` for ``prepare``.
        frames: frames a repeat.
        repeats: how often it is timed, after once that is not.
        work_dir: folder for what it writes, where ``prepare`` left what the others need.
        device: name, or names joined by commas; empty for the stages without a model.
        batch: frames per call of the model; 0 for the stages without a model.
        precision: of ``forward``.
        options: flat options of `streamcam.options.make_job`.
    """

    stage: Stage
    clip: str
    frames: int
    repeats: int
    work_dir: str
    device: str = ""
    batch: int = 0
    precision: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        label = {"whole": "end to end", "forward": f"bare forward pass, {self.precision}"}.get(self.stage, self.stage)
        return f"{label}, {self.device}, batch {self.batch}" if self.device else label

    def job(self) -> Job:
        """The run this is a part of.

        Raises:
            OptionError: an option's value cannot be used.
        """
        from ..sinks import default_suffix
        from .clip import loop_clip

        path = Path(self.work_dir) / f"{self.stage}{default_suffix(self.options.get('codec'))}"
        explain_options = {"batch": self.batch, "device": self.device or "auto"}
        source = loop_clip(self.clip, self.frames)
        return make_job(source.url, str(path), overwrite=True, **explain_options, **self.options)

    def as_json(self) -> str:
        """For the command line of its process."""
        return json.dumps(asdict(self))


def main() -> None:
    """Runs the case in the first argument; an error that is understood is a report too."""
    report_file = _reserve_stdout()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    from .stages import STAGES

    case = Case(**json.loads(sys.argv[1]))
    try:
        report = STAGES[case.stage](case)
    except StreamcamError as error:
        report = {"error": str(error), "usage": isinstance(error, OptionError)}
    with report_file:
        report_file.write(json.dumps(report))


def _reserve_stdout() -> TextIO:
    """Standard output, for the report alone: what a model or a library prints there goes to standard error instead."""
    report_file = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report_file


def _exit_with_parent() -> None:
    """Nobody waits any more for what is measured once standard input is closed."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
