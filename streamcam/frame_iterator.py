"""Explained frames of a video or camera, one by one: `streamcam.frames`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from . import notes, stages
from .concurrency.group import StageGroup, StageTimer
from .errors import OptionError, warn_user
from .frames import Attribution, ExplainedFrame, Frame, MapKind, RgbImage, SourceInfo
from .geometry import Geometry
from .job import FramesJob
from .options import CameraOptions, Colormap, DrawOptions, Layout
from .prepare import max_batch_length
from .temporal import ZeroMapCounter, choose_interpolation, estimate_every

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .engine.explainer import FrameExplainer
    from .engine.prepared_source import PreparedSource
    from .engine.results import ExplainedBatch

logger = notes.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class FrameExplanation:
    """An explained frame of a video or camera.

    Attributes:
        index: 0, 1, 2 … in the order of the source, without frames that could not be decoded.
        seconds: presentation time, exact, from the start of the video or of the run.
        attributions: map, name, score and probability of each target, in the requested order.
        classes: the most probable classes, ``(name, probability)``, best first.
        held: True if the frame was not explained itself (see ``every``): its maps come from frames around it.
        errors: why the result cannot be used, one line each; its maps are zero.
        map_kind: how the maps are drawn: ``heat``, ``pixels`` or ``signed``.
        geometry: how the frame was fitted into the model's input.
    """

    index: int
    seconds: Fraction
    attributions: tuple[Attribution, ...]
    classes: tuple[tuple[str, float], ...]
    held: bool
    errors: tuple[str, ...]
    map_kind: MapKind
    geometry: Geometry
    _video_frame: VideoFrame = field(repr=False)

    @functools.cached_property
    def image(self) -> RgbImage:
        """The frame, upright, ``uint8 (height, width, 3)`` RGB; converted on first use."""
        from .media.rgb import to_rgb

        return to_rgb(self._video_frame)

    def overlay(
        self, *, target: int = 0, alpha: float = 0.6, colormap: Colormap = "auto", layout: Layout = "overlay"
    ) -> RgbImage:
        """Draw a heatmap over the frame, as `streamcam.process` does.

        Args:
            target: which of several targets.
            alpha: opacity of full attribution, 0–1.
            colormap: as for `Explanation.overlay`.
            layout: as for `Explanation.overlay`.

        Returns:
            ``uint8 (height, width, 3)``, RGB; twice as wide for ``side-by-side``.

        Raises:
            OptionError: there is no such target, or an invalid value.
        """
        from .compose import overlay_image

        if not -len(self.attributions) <= target < len(self.attributions):
            raise OptionError(f"there is no target {target}", expected=f"0 to {len(self.attributions) - 1}")
        shown = self.attributions[target]
        options = DrawOptions(layout=layout, colormap=colormap, alpha=alpha)
        return overlay_image(self.image, shown.heatmap, self.geometry, options, vmax=shown.vmax, map_kind=self.map_kind)


def iterate_frames(job: FramesJob) -> Generator[FrameExplanation, None, None]:
    """Yield the explained frames of a job; closing the generator closes its source.

    Raises:
        StreamcamError: the job cannot be done.

    Warns:
        UserWarning: once a run, if maps are zero.
    """
    from .methods import method_name

    read = _camera_frames if _is_camera(job.source.url) else _file_frames
    zero_maps = ZeroMapCounter(lambda note: warn_user(note, UserWarning))
    method = method_name(job.explain.method)
    with contextlib.closing(read(job)) as frames:
        try:
            for frame in frames:
                if not frame.held:
                    zero_maps.count(() if frame.errors else frame.attributions, frame.map_kind, method)
                yield frame
        finally:
            zero_maps.close()


def _is_camera(url: str) -> bool:
    """Return True for a source that only the reader of cameras opens."""
    from .sources import SOURCES
    from .sources.cameras import CAMERAS

    kind = url.partition("://" if "://" in url else ":")[0].lower()
    return url.startswith("/dev/video") or kind in CAMERAS.keys() - SOURCES.keys()


def _file_frames(job: FramesJob) -> Generator[FrameExplanation, None, None]:
    """Explain every frame of a file, ahead of the caller."""
    from .engine import load_explainer
    from .sources import open_source

    with open_source(job.source) as source, StageGroup() as group:
        explainer = load_explainer(job.model, job.explain)
        info, timer = source.info, StageTimer()
        every = estimate_every(job.temporal)
        prepared = _prepare(explainer, info, every=every)
        items = stages.explain_source(
            source,
            info,
            explainer,
            prepared,
            job.temporal,
            group,
            timer,
            interpolation=choose_interpolation(info, job.temporal),
            max_batch_length=max_batch_length(prepared.executable.batch, every, info),
        )
        for item in items:
            yield _to_explanation(item, explainer, info, prepared.geometry)


def _camera_frames(job: FramesJob) -> Generator[FrameExplanation, None, None]:
    """Explain a camera's newest frame whenever the caller asks."""
    from .engine import load_explainer
    from .engine.results import hold_between
    from .sources import open_camera

    if job.source.start or job.source.end or job.source.decoder != "cpu":
        raise OptionError("--start, --end and --decoder are for files, not for cameras")
    camera = open_camera(
        CameraOptions(
            url=job.source.url,
            timeout_seconds=job.source.timeout_seconds,
            max_pixels=job.source.max_pixels,
            allow_playlist_files=job.source.allow_playlist_files,
        )
    )
    explainer = load_explainer(job.model, job.explain)
    is_selected = stages.frame_selector(job.temporal)
    shown: list[tuple[SourceInfo, Geometry]] = []

    def explain_batches(frames: Iterable[tuple[SourceInfo, Frame]]) -> Iterator[ExplainedBatch]:
        explain_one: Callable[[Frame], ExplainedBatch] | None = None
        for index, (info, frame) in enumerate(frames):
            if explain_one is None or shown[-1][0] != info:
                prepared = _prepare(explainer, info, batch=1)
                shown[:] = [(info, prepared.geometry)]
                explain_one = _make_worker(explainer, prepared, info, is_selected)
            yield explain_one(replace(frame, index=index))

    with StageGroup() as group:
        try:
            newest = group.prefetch(camera, depth=1, name="camera", live=True)
            explained = hold_between(explain_batches(newest))
            for item in stages.normalize_maps(explained, job.temporal, explainer.map_kind):
                yield _to_explanation(item, explainer, *shown[-1])
        finally:
            camera.stop()


def _make_worker(
    explainer: FrameExplainer, prepared: PreparedSource, info: SourceInfo, is_selected: Callable[[Frame], bool]
) -> Callable[[Frame], ExplainedBatch]:
    """Return a function that explains one frame of a camera."""
    resizer = stages.make_resizer(info, prepared.geometry, prepared.device)
    worker = explainer.workers(prepared.replicas, StageTimer())[0]
    return lambda frame: worker(tuple(stages.select_and_resize([frame], resizer, is_selected)))


def _prepare(explainer: FrameExplainer, info: SourceInfo, *, every: int = 1, batch: int = 0) -> PreparedSource:
    prepared = explainer.prepare(info, every=every, batch=batch)
    for note in prepared.notes:
        logger.info("%s", note)
    return prepared


def _to_explanation(
    item: ExplainedFrame, explainer: FrameExplainer, info: SourceInfo, geometry: Geometry
) -> FrameExplanation:
    return FrameExplanation(
        index=item.frame.index,
        seconds=item.frame.pts * info.time_base,
        attributions=item.attributions,
        classes=tuple((explainer.info.labels[index], probability) for index, probability in item.top),
        held=item.held,
        errors=item.errors,
        map_kind=explainer.map_kind,
        geometry=geometry,
        _video_frame=item.frame.model_source,
    )
