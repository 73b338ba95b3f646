"""What a benchmark is to measure, and in which cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import DEFAULT_MODEL, PRECISIONS
from ..errors import OptionError
from .case import Case
from .clip import identity, synthetic_size

CLIP = "synthetic:1280x720"
_BARE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the user wants to know.

    Attributes:
        clip: path or URL, or ``synthetic:WxH``; looped or cut to ``frames``.
        device: ``auto``, ``all``, or names joined by commas: each alone, and then the first two, three … together.
        batches: frames per call of the model; a case each.
        frames: frames a repeat.
        repeats: how often each case is timed.
        options: the other options as `streamcam.config.make_job` takes them: model, method, params, layer, precision,
            fit, codec, crf, preset.
    """

    clip: str = CLIP
    device: str = "auto"
    batches: tuple[int, ...] = (1, 8)
    frames: int = 96
    repeats: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        synthetic_size(self.clip)
        if not self.batches or min(self.batches) < 1:
            raise OptionError("--batch has no number above 0", wanted="such as 1,8,32")
        if self.repeats < 1:
            raise OptionError(f"--repeats {self.repeats} is not possible", wanted="1 or more")
        if self.frames < max(self.batches):
            raise OptionError(
                f"--frames {self.frames} is not possible", wanted=f"at least the largest --batch, {max(self.batches)}"
            )

    @property
    def setting(self) -> dict[str, Any]:
        """What has to be the same in two benchmarks that are compared, but for the machine."""
        others = {name: value for name, value in self.options.items() if name not in ("model", "precision")}
        model = identity("model", str(self.options.get("model", DEFAULT_MODEL)))
        return {**identity("clip", self.clip), **model, "frames": self.frames, **others}

    def case(
        self, stage: Any, work: Path, clip: str = "", options: Mapping[str, Any] | None = None, **more: Any
    ) -> Case:
        """One of its cases; ``options`` overrule its own."""
        return Case(
            stage=stage,
            clip=clip or self.clip,
            frames=self.frames,
            repeats=self.repeats,
            work=str(work),
            options={**self.options, **(options or {})},
            **more,
        )

    def devices(self, found: dict[str, Any]) -> list[str]:
        """Names of the devices to measure.

        Args:
            found: what the case ``prepare`` reports.
        """
        known = list(found["devices"])
        if self.device == "all":
            return [name for name in known if name.startswith("gpu")] or known
        if self.device == "auto":
            return [found["device"]]
        names = [name.strip() for name in self.device.lower().split(",")]
        # As one device may be written in two ways; what there is not fails in its case.
        return list(dict.fromkeys(next((k for k in _spellings(name) if k in known), name) for name in names))

    def cases(self, found: dict[str, Any], work: Path) -> list[Case]:
        """All but the joined devices, cheap ones first."""
        clip = found["clip"]
        plain = [self.case(stage, work, clip) for stage in ("decode", "draw", "encode", "encode_plain", "transcode")]
        timed = []
        for device in self.devices(found):
            # What auto has chosen is not to be chosen again in each case: it would count as time to compile.
            known = found["precision"] if device == found["device"] else ""
            chosen = {"precision": known} if known in PRECISIONS else {}
            for batch in self.batches:
                timed += [
                    self.case("forward", work, clip, device=device, batch=batch, precision=precision)
                    for precision in found["precisions"].get(device, ("float32",))
                ]
                timed += [
                    self.case(stage, work, clip, chosen, device=device, batch=batch) for stage in ("model", "whole")
                ]
        return [*plain, *timed]

    def seconds(self, found: dict[str, Any], cases: list[Case]) -> float:
        """About how long the cases take, from what the first look cost."""
        frames = self.frames * (1 + self.repeats)
        media = frames * float(found["seconds"]["decode"]) + _BARE_SECONDS
        model = frames * found["seconds"]["model"]
        loading = found["startup"]
        cost: dict[str, float] = {
            "model": loading + model,
            "forward": loading + model,
            "whole": loading + model + 2 * media,
        }
        return sum((cost.get(case.stage, float(media)) for case in cases), 0.0)


def _spellings(name: str) -> tuple[str, str, str]:
    return name, f"{name}:0", name.removesuffix(":0")
