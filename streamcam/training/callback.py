"""`ExplainCallback`: explain a model on fixed images while it is trained."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

from ..errors import OptionError, StreamcamError, describe_error
from ..notes import get_logger
from ..options import Colormap
from ..tf import keras, tf
from .explanations import Explanations
from .loggers import RunLogger, open_logger
from .loggers.base import ObjectLogger, Progress
from .step_count import StepCount

logger = get_logger(__name__)


class ExplainCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Explain a model on fixed validation images while it is trained.

        callback = ExplainCallback(
            (x_val, y_val), methods=["gradcam"], loggers=["folder:log"], regions={"corner": (0, 0, 0.25, 0.25)}
        )
        model.fit(x, y, validation_data=(x_val, y_val), callbacks=[callback])

    Each method is traced once, with the weights as variables: the maps are those that `streamcam.Explainer` gives with
    ``precision="float32"`` for the weights of the moment. One scale for the run keeps images comparable: it is the
    largest attribution so far, rounded up to 1, 2 or 5 times a power of ten, and stands on each image.

    The images are explained before the first batch, and then after each epoch or every N batches. The step of an image
    is the number of epochs, or of batches, trained before it. Numbers are means over the images: ``gradcam/area``,
    ``centroid_x``, ``centroid_y``, ``entropy``, ``drift`` (since the last time) and ``share/NAME`` of each region.

    An argument that cannot be used is an error before the first batch. Afterwards no error of an explanation or of a
    logger ends the training: the first of each kind is logged and issued as a warning, the others are counted.

    Args:
        data: validation images as the model gets them, with labels: what ``fit`` takes as ``validation_data``. A
            generator loses the batches that are read from it.
        methods: names that ``streamcam methods`` lists, or functions; and ``filters``.
        layer: ``auto``, or the path of the target layer, as ``streamcam layers`` prints it.
        targets: ``label``, the expected class; ``top``, the most probable one; a class by name or index; a contrast;
            or a list of these.
        every: ``epoch``, or a number of batches.
        loggers: ``tensorboard:DIR``, ``folder:DIR``, ``mlflow``, ``wandb``, or objects with
            ``log_image(key, image, step)`` and, for numbers, ``log_scalar(key, value, step)``.
        regions: named regions for ``share/NAME``: boxes ``(left, top, right, bottom)`` as fractions of the image, or
            masks ``(H, W)`` of the image or ``(N, H, W)`` of all.
        params: parameters of the methods, by the method's name.
        max_images: images to explain, the first of the data.
        value_range: black and white in the data, ``(0, 255)``; numbers, or one for each channel. ``auto``: 0–255, 0–1
            or −1–1, else from the smallest to the largest value.
        scale: attribution drawn at full strength; None for one of the run.
        labels: ``auto`` (those of the data set, else ``class 0``, …), ``imagenet``, a text file, or the names.
        images: ``each`` logs an overlay for each image, ``grid`` all in one, ``both`` both.
        alpha: opacity of full attribution, 0–1.
        colormap: a name of Matplotlib; ``auto`` suits the method.
        image_input: name of the input that takes the images, for models with several.
        extra_input: constant values of the other inputs, by name.

    Raises:
        StreamcamError: an argument cannot be used; if that depends on the model, before the first batch of ``fit``.
    """

    def __init__(
        self,
        data: Any,
        *,
        methods: str | Callable[..., Any] | Sequence[str | Callable[..., Any]] = ("gradcam",),
        layer: str = "auto",
        targets: str | int | Sequence[str | int] = "label",
        every: Literal["epoch"] | int = "epoch",
        loggers: Any = (),
        regions: Mapping[str, Any] | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        max_images: int = 16,
        value_range: Any = "auto",
        scale: float | None = None,
        labels: str | Sequence[str] = "auto",
        images: Literal["both", "each", "grid"] = "both",
        alpha: float = 0.6,
        colormap: Colormap = "auto",
        image_input: str = "",
        extra_input: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if every != "epoch" and (not isinstance(every, Integral) or isinstance(every, bool) or every < 1):
            raise OptionError(f"invalid every={every!r}", expected="epoch, or a number of batches")
        every = every if every == "epoch" else int(every)
        self._explanations = Explanations(
            data,
            methods=[methods] if isinstance(methods, str) or callable(methods) else list(methods),
            layer=layer,
            targets=targets,
            every=every,
            regions=regions or {},
            params=params or {},
            max_images=max_images,
            value_range=value_range,
            scale=scale,
            labels=labels,
            images=images,
            alpha=alpha,
            colormap=colormap,
            image_input=image_input,
            extra_input=extra_input or {},
        )
        given = [loggers] if isinstance(loggers, str) or hasattr(loggers, "log_image") else list(loggers or ())
        if not given:
            raise OptionError("no loggers", expected="tensorboard:DIR, folder:DIR, mlflow, wandb, or objects")
        self._loggers: list[RunLogger] = [open_logger(one) for one in given]
        self._every = every
        self.failures: Counter[str] = Counter()
        """Failures so far, by what failed."""
        self._num_reported = 0
        self._begun_loggers: list[RunLogger] = []
        self._count = StepCount(every)
        self._is_same_model = False
        self._logged: dict[int, Progress] = {}
        self._is_told_not_finite = False
        # Keras calls a callback without work after each batch from another thread, so that the training does not wait.
        self.async_safe = every == "epoch"

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Trace the methods.

        Raises:
            StreamcamError: the model cannot be explained so.
        """
        self._count.open_fit((self.params or {}).get("steps"))
        self._begun_loggers = []
        try:
            self._is_same_model = self._explanations.bind(self.model)
        except StreamcamError:
            raise
        except Exception as error:
            self._report("the preparation of the explanations", error)

    def _begin_loggers(self) -> None:
        """Open the logs.

        Raises:
            StreamcamError: a log cannot be opened.
        """
        for one in self._loggers if self._explanations.is_bound else ():
            try:
                one.begin(self._explanations.run_info)
            except StreamcamError:
                self._end_loggers()
                raise
            except Exception as error:
                self._report(f"{_name_of(one)}.begin", error)
            else:
                self._begun_loggers.append(one)
                if self._count.step < self._logged.get(id(one), Progress()).last_step:
                    self._guard(one, "resume", self._count.epochs, self._count.step)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Open the logs, and explain the weights that the training begins with.

        Raises:
            StreamcamError: a log cannot be opened, or is that of another training.
        """
        self._count.begin_epoch()
        if self._count.is_begun:
            return
        try:
            self._begin_counting(epoch)
        except StreamcamError:
            raise
        except Exception as error:
            self._report("the count of steps", error)
            self._count.is_begun = True
        self._begin_loggers()
        if self._count.explained != self._count.step:
            self._explain(at_begin=True)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Explain after every N-th batch."""
        if self._every != "epoch" and self._count.end_batch(batch):
            self._explain()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Explain after an epoch, and log what Keras reports."""
        self._count.end_epoch(epoch)
        if self._every == "epoch":
            self._explain()
        numbers = {name: float(value) for name, value in (logs or {}).items() if _is_number(value)}
        if not (self._is_told_not_finite or all(map(math.isfinite, numbers.values()))):
            self._is_told_not_finite = True
            names = ", ".join(name for name, value in numbers.items() if not math.isfinite(value))
            logger.warning("%s after epoch %d: not finite; the charts leave such values out", names, self._count.epochs)
        for one in self._begun_loggers:
            self._guard(one, "log_epoch", self._count.epochs, self._count.step, numbers)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Explain the last weights, and close the logs."""
        if self._count.is_begun and self._count.explained != self._count.step:
            self._explain()
        self._end_loggers()
        total = self.failures.total()
        if total > self._num_reported:
            logger.warning(
                "%d failures in all: %s", total, ", ".join(f"{what} {n} times" for what, n in self.failures.items())
            )

    def _begin_counting(self, epoch: int) -> None:
        """Continue the counts of this object or of the logs.

        Raises:
            OptionError: a folder holds the log of another training.
        """
        # A variable of a strategy has no value of its own.
        iterations = int(tf.convert_to_tensor(getattr(self.model.optimizer, "iterations", 0)).numpy())
        is_anew = not self._is_same_model and not epoch and not iterations
        self._logged = {id(one): one.progress() for one in self._loggers}
        for one, logged in zip(self._loggers, self._logged.values(), strict=True):
            if is_anew and (logged.epochs or logged.last_step):
                raise OptionError(
                    f"the folder {getattr(one, 'folder', '')} holds the log of another training",
                    hint="use a new folder; to continue that training, call fit with initial_epoch",
                )
        if is_anew:
            self._count.begin_anew()
            self._explanations.begin_anew()
        longest = max(self._logged.values(), key=lambda logged: (logged.epochs, logged.last_step))
        self._count.begin(epoch, iterations, longest, is_same_model=self._is_same_model)
        if self._count.step != self._count.explained:
            self._explanations.forget_maps()
        for logged in self._logged.values():
            self._explanations.continue_scales(logged.vmax)

    def _explain(self, *, at_begin: bool = False) -> None:
        """Explain the images; log to each log that lacks the step."""
        self._count.explained = step = self._count.step
        known = self._logged if at_begin else {}
        loggers = [one for one in self._begun_loggers if step not in known.get(id(one), Progress()).steps]
        position = self._count.position
        for event in self._explanations.explain(position, self._report) if self._explanations.is_bound else ():
            for one in loggers:
                self._guard(one, *event)
        for one in self._begun_loggers:
            self._guard(one, "flush")

    def _end_loggers(self) -> None:
        for one in self._begun_loggers:
            self._guard(one, "end")
        self._begun_loggers = []

    def _guard(self, one: RunLogger, call: str, *arguments: Any) -> None:
        try:
            getattr(one, call)(*arguments)
        except Exception as error:
            self._report(f"{_name_of(one)}.{call}", error)

    def _report(self, what: str, error: Exception) -> None:
        """Report the first failure of a kind; count all."""
        self.failures[what] += 1
        if self.failures[what] > 1:
            return
        self._num_reported += 1
        reason = str(error) if isinstance(error, StreamcamError) else describe_error(error)
        message = f"{what} failed: {reason}; the training goes on, further failures are counted"
        logger.error("%s", message)
        with contextlib.suppress(UserWarning):  # a filter turns warnings into errors
            warnings.warn(message, stacklevel=2)


def _name_of(one: RunLogger) -> str:
    return one.name if isinstance(one, ObjectLogger) else type(one).__name__


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
