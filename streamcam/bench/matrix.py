"""The cases of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..options import DEFAULT_MODEL, PRECISIONS
from .case import Case
from .clip import file_identity, synthetic_size

DEFAULT_CLIP = "synthetic:1280x720"
_PROCESS_START_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkMatrix:
    """The clip, model, devices and batch sizes to measure.

    Attributes:
        clip: path or URL, or ``synthetic:WxH``; looped or cut to ``frames``.
        device: ``auto``, ``all``, or names joined by commas: each alone, and then the first two, three … together.
        batches: frames per model call; a case each.
        frames: frames per repeat.
        repeats: how often to time each case.
        options: other options of `streamcam.job.Job.from_options`: model, method, params, layer, precision, fit, codec,
            crf, preset.
    """

    clip: str = DEFAULT_CLIP
    device: str = "auto"
    batches: tuple[int, ...] = (1, 8)
    frames: int = 96
    repeats: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        synthetic_size(self.clip)
        if not self.batches or min(self.batches) < 1:
            batches = ",".join(map(str, self.batches))
            raise OptionError(f"invalid --batch {batches}", expected="numbers from 1 up, such as 1,8,32")
        if self.repeats < 1:
            raise OptionError(f"invalid --repeats {self.repeats}", expected="1 or more")
        if self.frames < max(self.batches):
            raise OptionError(
                f"invalid --frames {self.frames}", expected=f"at least the largest --batch, {max(self.batches)}"
            )

    @property
    def setting(self) -> dict[str, Any]:
        """Settings that two benchmarks must share to be compared."""
        others = {name: value for name, value in self.options.items() if name not in ("model", "precision")}
        model = file_identity("model", str(self.options.get("model", DEFAULT_MODEL)))
        return {**file_identity("clip", self.clip), **model, "frames": self.frames, **others}

    def case(
        self, stage: Any, work_dir: Path, clip: str = "", options: Mapping[str, Any] | None = None, **more: Any
    ) -> Case:
        """Return one case; ``options`` override those of the matrix."""
        return Case(
            stage=stage,
            clip=clip or self.clip,
            frames=self.frames,
            repeats=self.repeats,
            work_dir=str(work_dir),
            options={**self.options, **(options or {})},
            **more,
        )

    def devices(self, warm_up: dict[str, Any]) -> list[str]:
        """Return the names of the devices to measure.

        Args:
            warm_up: report of the case ``warm_up``.
        """
        known = list(warm_up["devices"])
        if self.device == "all":
            return [name for name in known if name.startswith("gpu")] or known
        if self.device == "auto":
            return [warm_up["device"]]
        names = [name.strip() for name in self.device.lower().split(",")]
        # One device can be written in two ways; an unknown one fails in its case.
        return list(dict.fromkeys(next((k for k in _spellings(name) if k in known), name) for name in names))

    def cases(self, warm_up: dict[str, Any], work_dir: Path) -> list[Case]:
        """Return all cases but those of joined devices, cheap ones first."""
        clip = warm_up["clip"]
        media_cases = [
            self.case(stage, work_dir, clip) for stage in ("decode", "draw", "encode", "encode_source", "transcode")
        ]
        model_cases = []
        for device in self.devices(warm_up):
            # Do not repeat the choice of auto in each case: it would count as compile time.
            known = warm_up["precision"] if device == warm_up["device"] else ""
            chosen = {"precision": known} if known in PRECISIONS else {}
            # The same compiler for the method and the bare model.
            xla = warm_up.get("xla", False) and device.startswith("gpu")
            for batch in self.batches:
                model_cases += [
                    self.case("forward", work_dir, clip, device=device, batch=batch, precision=precision, xla=xla)
                    for precision in warm_up["precisions"].get(device, ("float32",))
                ]
                model_cases += [
                    self.case(stage, work_dir, clip, chosen, device=device, batch=batch, xla=xla)
                    for stage in ("model", "end_to_end")
                ]
        return [*media_cases, *model_cases]

    def estimate_seconds(self, warm_up: dict[str, Any], cases: list[Case]) -> float:
        """Estimate the seconds of all cases from those of ``warm_up``."""
        frames = self.frames * (1 + self.repeats)
        media = frames * float(warm_up["seconds"]["decode"]) + _PROCESS_START_SECONDS
        model = frames * warm_up["seconds"]["model"]
        loading = warm_up["startup_seconds"]
        cost: dict[str, float] = {
            "model": loading + model,
            "forward": loading + model,
            "end_to_end": loading + model + 2 * media,
        }
        return sum((cost.get(case.stage, float(media)) for case in cases), 0.0)


def _spellings(name: str) -> tuple[str, str, str]:
    return name, f"{name}:0", name.removesuffix(":0")
