"""`ExplainCallback`: explain a model on fixed images while it is trained."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ..errors import OptionError, StreamcamError, describe_error
from ..notes import get_logger
from ..options import Colormap
from ..tf import keras, tf
from .explanations import Explanations
from .loggers import RunLogger, open_logger
from .loggers.base import ObjectLogger

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
        if every != "epoch" and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
            raise OptionError(f"invalid every={every!r}", expected="epoch, or a number of batches")
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
        self._epochs = self._batches = self._batch_in_epoch = 0
        self._offset: int | None = None
        self._explained_step: int | None = None
        # Keras calls a callback without work after each batch from another thread, so that the training does not wait.
        self.async_safe = every == "epoch"

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Trace the methods and open the logs.

        Raises:
            StreamcamError: the model cannot be explained so, or a log cannot be opened.
        """
        self._offset = None
        try:
            self._explanations.bind(self.model)
        except StreamcamError:
            raise
        except Exception as error:
            self._report("the preparation of the explanations", error)
        self._begun_loggers = []
        if not self._explanations.is_bound:
            return
        for one in self._loggers:
            try:
                one.begin(self._explanations.run_info)
            except StreamcamError:
                self._end_loggers()
                raise
            except Exception as error:
                self._report(f"{_name_of(one)}.begin", error)
            else:
                self._begun_loggers.append(one)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Explain the weights that the training begins with."""
        self._batch_in_epoch = 0
        if self._offset is None:
            try:
                self._begin_counting(epoch)
            except StreamcamError:
                raise
            except Exception as error:
                self._report("the count of steps", error)
                self._offset = 0
            self._explain()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Explain after every N-th batch."""
        if self._every == "epoch":
            return
        before = self._batches
        self._batches += batch + 1 - self._batch_in_epoch  # several steps an execution are one call
        self._batch_in_epoch = batch + 1
        if self._batches // int(self._every) > before // int(self._every):
            self._explain()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Explain after an epoch, and log what Keras reports."""
        self._epochs = epoch + 1 + (self._offset or 0)
        self._batch_in_epoch = 0
        if self._every == "epoch":
            self._explain()
        numbers = {name: float(value) for name, value in (logs or {}).items() if _is_number(value)}
        for one in self._begun_loggers:
            self._guard(one, "log_epoch", self._epochs, self._step, numbers)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Explain the last weights, and close the logs."""
        if self._offset is not None and self._explained_step != self._step:
            self._explain()
        self._end_loggers()
        total = self.failures.total()
        if total > self._num_reported:
            logger.warning(
                "%d failures in all: %s", total, ", ".join(f"{what} {n} times" for what, n in self.failures.items())
            )

    @property
    def _step(self) -> int:
        return self._epochs if self._every == "epoch" else self._batches

    def _begin_counting(self, epoch: int) -> None:
        """Continue the counts of this object or of the logs.

        Raises:
            OptionError: a folder holds the log of another training.
        """
        # A variable of a strategy has no value of its own.
        iterations = int(tf.convert_to_tensor(getattr(self.model.optimizer, "iterations", 0)).numpy())
        for one in self._loggers:
            progress = one.progress()
            if progress.epochs and not self._epochs and not epoch and not iterations:
                raise OptionError(
                    f"the folder {getattr(one, 'folder', '')} holds the log of another training",
                    hint="use a new folder; to continue that training, call fit with initial_epoch",
                )
            self._epochs = max(self._epochs, progress.epochs)
            self._explanations.continue_scales(progress.vmax or {})
        self._offset = max(0, self._epochs - epoch)
        self._epochs = max(self._epochs, epoch)
        self._batches = max(self._batches, iterations)

    def _explain(self) -> None:
        """Explain the images and log the result; report what fails."""
        self._explained_step = self._step
        steps_per_epoch = (self.params or {}).get("steps")
        fraction = self._batch_in_epoch / steps_per_epoch if steps_per_epoch else 0.0
        position = self._step, self._epochs + min(fraction, 1.0)
        for event in self._explanations.explain(position, self._report) if self._explanations.is_bound else ():
            for one in self._begun_loggers:
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
