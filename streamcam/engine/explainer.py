"""Frames in, explained frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..config import ExplainOptions, ModelOptions
from ..errors import OptionError
from ..flow import StageClock
from ..frames import Batch, Display, Evidence, Explained, Frame, SourceInfo
from ..geometry import Fit, Geometry, Size
from ..geometry import fit as fitted
from ..methods import load_method, method_display, method_name
from ..models import load_model, parse_target
from .devices import choose_device, share_the_processor
from .kernel import INPUT, Kernel, Look, build_kernel
from .precision import choose_precision
from .steps import Progress

DEFAULT_BATCH = 8
"""As fast as 16 on a processor (13.0 CPU ms a frame either way, EfficientNet-Lite0), with 140 MiB less at the peak."""


_KERNELS = 2
"""Kernels that are kept: each holds a copy of the model's weights and its working memory."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How the model looks at one source: the geometry and the kernel made for it."""

    geometry: Geometry
    kernel: Kernel

    def detail(self, method: str) -> str:
        """What makes the evidence, in a few words: the method, and the layer where it has one."""
        return method if self.kernel.layer == INPUT else f"{method} · {self.kernel.layer}"


class StreamExplainer:
    """A loaded model with a method, ready to look at any number of sources, one after another.

    Kernels are compiled for each input size and batch once. Use it from one thread at a time.

    Attributes:
        loaded: the model and what is known of it.
        notes: one-line announcements for the user; grows as kernels are made.
        troubles: what went wrong with single frames since the last `view`.
        figures: the largest of each figure by which the method tells the quality of its maps, since the last `view`.
        device: where it computes.
        display: how the method's maps are shown.
    """

    def __init__(self, model: ModelOptions, explain: ExplainOptions) -> None:
        share_the_processor()
        self._options = explain
        self._method = load_method(explain.method, explain.params)
        self.display: Display = method_display(explain.method)
        self.loaded = load_model(model)
        if model.fit == "native" and not self.loaded.flexible:
            raise OptionError(
                f"--fit native needs a model that takes any size; {self.loaded.name} takes "
                f"{self.loaded.input_size[0]}x{self.loaded.input_size[1]}",
                do="use --fit stretch, crop or letterbox",
            )
        self._fit: Fit
        if model.fit == "auto":
            self._fit = "native" if self.loaded.flexible else "stretch"
        else:
            self._fit = model.fit
        self.targets = tuple(parse_target(self.loaded.labels, target) for target in explain.target)
        self.device = choose_device(explain.device)
        self.notes: list[str] = list(self.loaded.notes)
        self._kernels: dict[tuple[Size, int], Kernel] = {}
        self._built = False
        self.troubles: list[str] = []
        self.figures: dict[str, float] = {}
        self._precision = ""

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return method_name(self._options.method)

    def geometry(self, info: SourceInfo, *, fit: Fit | None = None) -> Geometry:
        """How a source's pictures are fitted into the model's input; ``fit`` overrules the option's."""
        return fitted(
            fit or self._fit, (info.width, info.height), self.loaded.input_size, pixel_aspect=info.pixel_aspect
        )

    def view(self, info: SourceInfo, *, every: int = 1, fit: Fit | None = None) -> View:
        """Compiles what is needed to look at a source (takes seconds the first time).

        The batch shrinks for sources of fewer frames, and where only every N-th frame is explained, so that
        neither padding nor waiting frames cost anything.

        Raises:
            LayerError, ModelError: the model cannot be explained as asked for.
        """
        self.troubles, self.figures = [], {}
        geometry = self.geometry(info, fit=fit)
        batch = self._options.batch or max(1, DEFAULT_BATCH // every)
        if info.frames is not None:
            batch = max(1, min(batch, -(-info.frames // every)))
        return View(geometry, self._kernel(geometry.input, batch))

    def _kernel(self, size: Size, batch: int) -> Kernel:
        for (known_size, known_batch), kernel in self._kernels.items():
            if known_size == size and known_batch >= batch and not self._options.batch:
                return kernel
        if (size, batch) not in self._kernels:
            if not self._precision:
                self._precision, note = choose_precision(
                    self._options.precision, self.device, lambda precision: self._build(size, batch, precision)
                )
                self.notes.extend(note)
            kernel = self._build(size, batch, self._precision)
            # The first run is the one that optimises and allocates; it belongs to the start-up.
            kernel(np.zeros((batch, size[1], size[0], 3), np.uint8))
            if not self._built:
                self._built = True
                self.notes.extend(kernel.notes)
                if kernel.layer != INPUT:
                    self.notes.append(_announced(kernel))
            while len(self._kernels) >= _KERNELS:
                del self._kernels[next(iter(self._kernels))]
            self._kernels[size, batch] = kernel
        return self._kernels[size, batch]

    def _build(self, size: Size, batch: int, precision: str) -> Kernel:
        return build_kernel(
            self.loaded,
            self._method,
            layer=self._options.layer,
            targets=self.targets,
            size=size,
            batch=batch,
            rows=self._options.batch or DEFAULT_BATCH,
            precision=precision,
            device=self.device,
        )

    def explain(
        self, batches: Iterable[Batch], view: View, clock: StageClock, progress: Progress | None = None
    ) -> Iterator[Explained]:
        """Explains the frames that have pixels; the others hold what was seen before them.

        Frames before the first one with pixels cannot be explained; the road always looks at the first.
        """
        last: Explained | None = None
        for batch in batches:
            looked_at = [frame.pixels for frame in batch if frame.pixels is not None]
            looks: Iterator[Explained] = iter(())
            if looked_at:
                with clock("model"):
                    look = view.kernel(np.stack(looked_at), progress)
                looks = self._told([frame for frame in batch if frame.pixels is not None], look)
            for frame in batch:
                if frame.pixels is not None:
                    last = next(looks)
                elif last is not None:
                    last = replace(last, frame=frame, held=True)
                if last is not None:
                    yield last

    def _told(self, frames: list[Frame], look: Look) -> Iterator[Explained]:
        for name, values in look.figures.items():
            self.figures[name] = max(self.figures.get(name, 0.0), float(np.nanmax(values, initial=0.0)))
        for n, frame in enumerate(frames):
            if trouble := troubled(look, n):
                self.troubles.append(f"frame {frame.index}: {trouble}; nothing is drawn")
            yield Explained(
                # The pixels have served; letting go of them keeps the queues light.
                frame=replace(frame, pixels=None),
                evidence=self.evidence(look, n),
                top=tuple(
                    (int(c), float(p)) for c, p in zip(look.top_classes[n], look.top_probabilities[n], strict=True)
                ),
            )

    def evidence(self, look: Look, n: int) -> tuple[Evidence, ...]:
        """What a look says of its ``n``-th picture, for each target.

        Where `troubled` the map is zeros.
        """
        return tuple(self._evidence(look, n, t) for t in range(len(self.targets)))

    def _evidence(self, look: Look, n: int, t: int) -> Evidence:
        heatmap, score = look.maps[n, t], float(look.scores[n, t])
        if not (np.isfinite(heatmap).all() and np.isfinite(score)):
            heatmap = np.zeros_like(heatmap)
        index = int(look.classes[n, t])
        known = index >= 0
        return Evidence(
            heatmap=heatmap,
            label=self.loaded.labels[index] if known else self.targets[t].label,
            score=score,
            probability=float(look.probabilities[n, t]) if known else None,
            target=index if known else None,
        )


def troubled(look: Look, n: int) -> str:
    """What is not a number in what a look says of its ``n``-th picture; empty where all is well."""
    if not np.isfinite(look.scores[n]).all():
        return "the model's answer is not a number"
    return "" if np.isfinite(look.maps[n]).all() else "the method's map is not a number"


def _announced(kernel: Kernel) -> str:
    row = next(row for row in kernel.layers if row.path == kernel.layer)
    why = f" ({row.reason.removeprefix('auto: ')})" if row.chosen else ""
    cells = f": {row.grid[1]}x{row.grid[0]} cells" if row.grid else ""
    return f"target layer {kernel.layer}{cells}{why}"
