"""All methods of a callback on its validation images: what is logged at a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, TargetError, UnknownMethodError, did_you_mean
from ..imports import is_function_path
from ..methods import METHODS, method_name
from ..models.targets import NO_CLASS, Target, TargetSet
from ..notes import get_logger
from ..options import DrawOptions
from .drawing import ImageGrid, draw_record
from .filter_run import NAME as FILTERS
from .filter_run import FilterRun
from .loggers import MapRecord, RunInfo
from .method_run import MethodRun, mean_of
from .model_adapter import adapt_model
from .regions import Regions
from .validation_data import read_batch

logger = get_logger(__name__)

LABEL = "label"


class Explanations:
    """The validation images and methods of a callback.

    Args:
        data, methods, layer, targets, every, regions, params, max_images, value_range, scale, labels, images, alpha,
            colormap, image_input, extra_input: as for `streamcam.training.ExplainCallback`.

    Raises:
        StreamcamError: an argument cannot be used with any model.
    """

    def __init__(
        self,
        data: Any,
        *,
        methods: Sequence[str | Callable[..., Any]],
        layer: str,
        targets: Any,
        every: str | int,
        regions: Mapping[str, Any],
        params: Mapping[str, Mapping[str, Any]],
        max_images: int,
        value_range: Any,
        scale: float | None,
        labels: str | Sequence[str],
        images: str,
        alpha: float,
        colormap: Any,
        image_input: str,
        extra_input: Mapping[str, Any],
    ) -> None:
        if not isinstance(max_images, int) or max_images < 1:
            raise OptionError(f"invalid max_images={max_images!r}", expected="1 or more")
        if images not in ("both", "each", "grid"):
            raise OptionError(f"unknown images={images!r}", expected="both, each or grid")
        if scale is not None and not (isinstance(scale, Real) and np.isfinite(float(scale)) and scale > 0):
            raise OptionError(f"invalid scale={scale!r}", expected="None, or a number above 0")
        for one in methods:
            if isinstance(one, str) and one not in (*METHODS, FILTERS) and not is_function_path(one):
                known = [*METHODS, FILTERS]
                raise UnknownMethodError(
                    f"unknown method {one!r}",
                    expected=f"one of {', '.join(known)}, package.module:function, or a function",
                    hint=did_you_mean(one, known),
                )
        names = [method_name(one) for one in methods]
        if not names:
            raise OptionError("no methods", expected=f"some of {', '.join(METHODS)}")
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"method {name!r} is given twice", expected="each method once")
        for name in params:
            if name not in names:
                raise OptionError(
                    f"params for {name!r}, which is no method of the callback", hint=did_you_mean(name, names)
                )
        self._methods = [
            MethodRun(one, params.get(name, {}), layer, scale)
            for one, name in zip(methods, names, strict=True)
            if name != FILTERS
        ]
        self._filters = FilterRun(params.get(FILTERS, {}), layer) if FILTERS in names else None
        self._names = tuple(names)
        self._batch = read_batch(
            data, max_images, image_input=image_input, constants=extra_input, value_range=value_range
        )
        self._requested = list(dict.fromkeys(map(str, targets if isinstance(targets, (list, tuple)) else [targets])))
        if not self._requested:
            raise OptionError("no targets", expected="label, top, or classes")
        if LABEL in self._requested and self._batch.classes is None:
            problem = self._batch.label_problem or "targets='label', but the validation data has no labels"
            raise OptionError(problem, hint="use targets='top', or the name of a class")
        self._regions = Regions(regions, len(self._batch.inputs))
        self._draw_options = DrawOptions(alpha=alpha, colormap=colormap)
        self._labels_option, self._image_input, self._extra_input = labels, image_input, extra_input
        self._every, self._images = every, images
        self._rgb_images = self._batch.rgb_images()
        self._model: Any = None
        self._is_reported = False

    def bind(self, model: Any) -> bool:
        """Trace the methods on a model, unless that was done before.

        Returns:
            True if it is the model of the last call.

        Raises:
            StreamcamError: it cannot be explained so.
        """
        if self._model is model:
            return True
        self._model = None
        loaded = adapt_model(model, self._batch, self._labels_option, self._image_input, self._extra_input)
        self._labels = loaded.labels
        self._targets, self._codes = self._find_targets()
        classes = self._batch.classes
        expected = () if classes is None else tuple(self._labels[index] for index in classes)
        self._grid = ImageGrid(self._rgb_images, expected, self._draw_options)
        self.run_info = RunInfo(
            model=loaded.name,
            methods=self._names,
            labels=self._labels,
            images=self._rgb_images,
            expected=expected,
            every=self._every,
        )
        for one in self._methods:
            one.trace(loaded, self._batch)
        if self._filters is not None:
            self._filters.trace(loaded)
        self._model = model
        return False

    def begin_anew(self) -> None:
        """Forget the scales and maps of an earlier training."""
        self.forget_maps()
        for one in self._methods:
            one.vmax = one.scale or 0.0

    def forget_maps(self) -> None:
        """Begin without maps that a drift could be measured from."""
        for one in self._methods:
            one.forget_maps()

    def continue_scales(self, vmax: Mapping[str, float]) -> None:
        """Go on with the scales of a log, by the method's name."""
        for one in self._methods:
            if one.scale is None:
                one.vmax = max(one.vmax, vmax.get(one.name, 0.0))

    @property
    def is_bound(self) -> bool:
        """True once the methods are traced."""
        return self._model is not None

    def explain(
        self, position: tuple[int, float], report: Callable[[str, Exception], None]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the calls of a logger for the weights of the moment: its method's name, then the arguments.

        Args:
            position: the step and the epoch.
            report: called with what failed, and the error; the other methods go on.
        """
        for one in self._methods:
            try:
                yield from self._explain(one, position)
            except Exception as error:
                report(f"the explanation by {one.name}", error)
        if self._filters is not None:
            try:
                yield from self._filters.explain(position)
            except Exception as error:
                report("the images of the filters", error)

    def _explain(self, one: MethodRun, position: tuple[int, float]) -> Iterator[tuple[Any, ...]]:
        records, reason = one.explain(self._batch, self._labels, self._targets, self._codes, self._regions, position)
        if reason and not self._is_reported:
            self._is_reported = True
            logger.warning("%s at step %d: %s; such maps are zero", one.name, position[0], reason)
        for record in records:
            yield "log_maps", record
            yield from self._scalars(record)
            yield from self._drawings(record)

    def _scalars(self, record: MapRecord) -> Iterator[tuple[Any, ...]]:
        for name, values in record.statistics.items():
            mean = mean_of(values)
            if np.isfinite(mean):
                yield "log_scalar", f"{record.key}/{name}", mean, record.step

    def _drawings(self, record: MapRecord) -> Iterator[tuple[Any, ...]]:
        singles, grid = draw_record(self._grid, record)
        if self._images != "each":
            yield "log_image", f"{record.key}/grid", grid, record.step
        if self._images != "grid":
            digits = len(str(len(singles) - 1))
            for number, image in enumerate(singles):
                yield "log_image", f"{record.key}/image/{number:0{digits}}", image, record.step

    def _find_targets(self) -> tuple[dict[str, list[Target]], NDArray[np.int32]]:
        """Return targets of the images by name, and codes ``(N, targets, 2)``."""
        num_images = len(self._batch.inputs)
        targets: dict[str, list[Target]] = {}
        codes = []
        for requested in self._requested:
            if requested == LABEL:
                assert self._batch.classes is not None
                indices = [int(index) for index in self._batch.classes]
                own = [Target(self._labels[index], index, "class") for index in indices]
                own_codes = np.array([(index, NO_CLASS) for index in indices], np.int32)
            else:
                found = TargetSet(self._labels, [requested])
                if found.functions:
                    raise TargetError(f"target {requested} is a function", expected="label, top, a class or a contrast")
                own = list(found.targets) * num_images
                own_codes = np.repeat(found.codes, num_images, axis=0)
            name = requested.replace("/", "_") if len(self._requested) > 1 else ""
            while name in targets:  # a/b and a_b
                name += "_"
            targets[name] = own
            codes.append(own_codes)
        return targets, np.stack(codes, axis=1)
