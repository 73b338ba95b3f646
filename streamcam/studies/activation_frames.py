"""Read the feature maps of an input frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..concurrency.group import StageGroup
from ..engine import load_explainer
from ..engine.graph.layer_info import LayerInfo
from ..engine.layer_maps import LayerMaps, load_layer_maps
from ..errors import OptionError
from ..frames import ColorSpec, Frame, RgbImage, SourceInfo
from ..geometry import Geometry, Size
from ..notes import get_logger
from ..options import ExplainOptions, ModelOptions, SourceOptions
from ..sources import Source, open_source
from ..stages import batched, make_resizer, queue_depth, select_and_resize

logger = get_logger(__name__)

_MAX_BATCH = 8
_MAX_BATCH_PIXELS = _MAX_BATCH * 224 * 224
"""Pixels of the model input in a batch: a layer of 64 channels at full resolution then takes 100 MB."""

OpenInput: TypeAlias = Callable[[], contextlib.AbstractContextManager[tuple[SourceInfo, Iterable[Frame]]]]
"""Opens the input from its beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class ActivationReader:
    """An input, and a model compiled into feature maps of layers.

    Attributes:
        info: properties of the input.
        model: name of the model.
        notes: one-line announcements on the model.
    """

    info: SourceInfo
    model: str
    notes: tuple[str, ...]
    _open: OpenInput
    _geometry: Callable[[SourceInfo], Geometry]
    _maps: LayerMaps

    @classmethod
    def open(cls, source: Any, model: ModelOptions, explain: ExplainOptions, layers: Sequence[str]) -> Self:
        """Check the input, then load and compile the model; takes seconds.

        Args:
            source: `SourceOptions`, or images.
            model: the model.
            explain: the device.
            layers: paths of layers; none chooses some.

        Raises:
            StreamcamError: the input cannot be read, or the model cannot be loaded or run.
        """
        open_input = _open_file(source) if isinstance(source, SourceOptions) else _open_images(source)
        with open_input() as (info, _):
            pass
        explainer = load_explainer(model, explain, limit_threads=True)
        size = explainer.geometry(info).input
        batch = max(1, min(_MAX_BATCH, info.num_frames or _MAX_BATCH, _MAX_BATCH_PIXELS // (size[0] * size[1])))
        maps = load_layer_maps(explainer.loaded, layers, size=size, batch=batch, device=explainer.pool.devices[0])
        # Feature maps have no classes.
        notes = tuple(note for note in explainer.info.notes if not note.startswith("labels "))
        return cls(info, explainer.info.name, notes, open_input, explainer.geometry, maps)

    @property
    def name(self) -> str:
        """Name of the input."""
        return self.info.name

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers, in the order of the maps."""
        return self._maps.layers

    @property
    def size(self) -> Size:
        """``(width, height)`` of the model input."""
        return self._maps.size

    def read(self, *, report: bool = False) -> Iterator[tuple[Frame, list[NDArray[np.float32]]]]:
        """Yield each frame with the maps of each layer, float32 ``(h, w, channels)``.

        Decodes ahead in a thread.

        Args:
            report: log the notes of the input at its end.

        Raises:
            SourceError: the input cannot be read.
            ModelError, DeviceError: the model failed.
        """
        with self._open() as (info, source_frames), StageGroup() as group:
            resized = self._resize(info, source_frames)
            depth = queue_depth(2 * self._maps.batch, info)
            frames = group.prefetch(resized, depth=depth, name="decode")
            for batch in batched(frames, self._maps.batch, max_length=self._maps.batch):
                results = self._maps([_model_input(frame) for frame in batch])
                for number, frame in enumerate(batch):
                    yield frame, [maps[number] for maps in results]
            if report and isinstance(source_frames, Source):
                for note in source_frames.notes:
                    logger.info("%s", note)

    def _resize(self, info: SourceInfo, frames: Iterable[Frame]) -> Iterator[Frame]:
        return select_and_resize(frames, make_resizer(info, self._geometry(info), "cpu"), lambda frame: True)


def _model_input(frame: Frame) -> RgbImage:
    assert frame.model_input is not None
    return frame.model_input


def _open_file(options: SourceOptions) -> OpenInput:
    @contextlib.contextmanager
    def open_input() -> Iterator[tuple[SourceInfo, Iterable[Frame]]]:
        with open_source(options) as source:
            yield source.info, source

    return open_input


def _open_images(images: Any) -> OpenInput:
    """Return an opener for images from Python, all of one size."""
    from ..media.image_arrays import as_images
    from ..media.rgb import from_rgb

    rgb_images, _ = as_images(images)
    height, width = rgb_images[0].shape[:2]
    other = next((image for image in rgb_images if image.shape[:2] != (height, width)), None)
    if other is not None:
        raise OptionError(
            f"images of {width}x{height} and {other.shape[1]}x{other.shape[0]}",
            expected="images of one size",
            hint="call show_activations for each image",
        )
    info = SourceInfo(
        "images", width, height, "yuv420p", Fraction(1), ColorSpec(), num_frames=len(rgb_images), is_image=True
    )

    @contextlib.contextmanager
    def open_input() -> Iterator[tuple[SourceInfo, Iterable[Frame]]]:
        yield info, (Frame(n, n, from_rgb(image)) for n, image in enumerate(rgb_images))

    return open_input
