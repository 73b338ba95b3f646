"""Taps: record images as they pass, wherever the pipeline runs, and hand them on unchanged."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from ...errors import describe_error
from ...notes import get_logger
from ...tf import keras, tf
from .elements import find_parts
from .evidence import Split
from .intake import read_element, take
from .passes import PassGuard
from .recorder import StageRecorder

logger = get_logger(__name__)


class StageLog(Protocol):
    """The log of a tap: `VisualLog`."""

    def second_tap(self, recorder: StageRecorder) -> Tap:
        """Return the tap of another data set that passes a stage."""
        ...

    def note_files(self, split: Split, dataset: Any) -> None:
        """Keep the class names and files of a data set."""
        ...


@keras.saving.register_keras_serializable("streamcam")
class Tap(keras.layers.Layer):  # type: ignore[misc]
    """Record images, and return them unchanged.

    Call it with a `tf.data.Dataset`, an array or tensor, a tuple ``(images, labels)``, a mapping, a generator, a
    `keras.utils.PyDataset`, or a function or layer that returns images. It is also a Keras layer, which a model may
    contain: a model that is loaded again records nothing.

    A failure to record is logged once. It never ends the pipeline.

    Args:
        recorder: receives the images; None records nothing.
        log: of the recorder.
    """

    def __init__(self, recorder: StageRecorder | None = None, log: StageLog | None = None, **options: Any) -> None:
        name = re.sub(r"\W+", "_", recorder.name) if recorder is not None else "tap"
        options.setdefault("name", f"tap_{name}")
        super().__init__(trainable=False, autocast=False, **options)
        self.supports_jit = False
        self._record_lock = threading.Lock()
        self._recorder, self._log, self._dataset = recorder, log, None
        self._has_failed = False
        self._position = 0
        self._passes, self._has_complete_pass = 0, False

    def __call__(self, value: Any, *arguments: Any, **options: Any) -> Any:
        """Tap a part of a pipeline; return the same with the tap in it."""
        if isinstance(value, tf.data.Dataset):
            return self._tap_dataset(value)
        if isinstance(value, keras.utils.PyDataset):
            return self._tap_py_dataset(value)
        if isinstance(value, keras.layers.Layer) or (
            callable(value) and not isinstance(value, keras.KerasTensor) and not hasattr(value, "shape")
        ):
            return self._tap_function(value)
        if any(isinstance(one, keras.KerasTensor) for one in tf.nest.flatten(value)):
            return super().__call__(value, *arguments, **options)
        if hasattr(value, "__next__"):
            return self._tap_iterator(value)
        if any(tf.is_tensor(one) and not hasattr(one, "numpy") for one in tf.nest.flatten(value)):
            return self._record_symbolic(value)
        self._record(value)
        return value

    def call(self, inputs: Any) -> Any:
        """Record the input of the layer."""
        return self._record_symbolic(inputs) if self._recorder is not None else inputs

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the input's shape and dtype."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what a saved model keeps: the name."""
        return {"name": self.name}

    @property
    def has_dataset(self) -> bool:
        """True if a data set passes it already."""
        return self._dataset is not None

    def _tap_dataset(self, dataset: Any) -> Any:
        """Tap a data set; of several passes, the first complete one is recorded."""
        recorder = self._recorder
        if recorder is not None and self._log is not None:
            if self._dataset is not None and self._dataset is not dataset:
                return self._log.second_tap(recorder)(dataset)
            self._log.note_files(recorder.split, dataset)
        self._dataset = dataset
        cardinality = dataset.cardinality()
        if recorder is not None and int(cardinality) == tf.data.INFINITE_CARDINALITY:
            recorder.is_single_pass = False

        def begin_pass(_: Any) -> Any:
            number = tf.numpy_function(self._begin_pass, [], tf.int64)
            number.set_shape(())
            tapped = dataset.map(lambda *parts: self._record_symbolic(_structure(parts, dataset), number))

            def end_pass(_: Any) -> Any:
                zero = tf.numpy_function(self._end_pass, [number], tf.int64)
                zero.set_shape(())
                return tapped.take(zero)

            return tapped.concatenate(tf.data.Dataset.from_tensors(0).flat_map(end_pass))

        tapped = tf.data.Dataset.from_tensors(0).flat_map(begin_pass)
        if int(cardinality) != tf.data.UNKNOWN_CARDINALITY:
            tapped = tapped.apply(tf.data.experimental.assert_cardinality(cardinality))
        for name in ("class_names", "file_paths"):
            if hasattr(dataset, name):
                setattr(tapped, name, getattr(dataset, name))
        return tapped

    def _tap_py_dataset(self, dataset: Any) -> Any:
        tap = self
        seen: set[int] = set()

        class TappedDataset(keras.utils.PyDataset):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(
                    workers=dataset.workers,
                    use_multiprocessing=False,  # other processes could not record
                    max_queue_size=dataset.max_queue_size,
                )

            @property
            def num_batches(self) -> Any:
                return dataset.num_batches

            def __len__(self) -> int:
                return len(dataset)

            def __getitem__(self, index: int) -> Any:
                element = dataset[index]
                if index not in seen:
                    seen.add(index)
                    tap._record(element)
                return element

            def on_epoch_begin(self) -> None:
                dataset.on_epoch_begin()

            def on_epoch_end(self) -> None:
                dataset.on_epoch_end()

        return TappedDataset()

    def _tap_iterator(self, elements: Iterator[Any]) -> Iterator[Any]:
        recorder, guard = self._recorder, PassGuard()
        if recorder is not None:
            recorder.is_single_pass = False
        for element in elements:
            self._record(element, guard)
            yield element
        if recorder is not None:
            for one in guard.end():
                take(recorder, one)
            recorder.is_single_pass = not guard.has_repeated

    def _tap_function(self, function: Any) -> Any:
        if isinstance(function, keras.layers.Layer):
            return keras.Sequential([function, self], name=f"{function.name}_{self.name}")
        if self._recorder is not None:
            self._recorder.is_single_pass = False

        @functools.wraps(function)
        def tapped(*arguments: Any, **options: Any) -> Any:
            return self(function(*arguments, **options))

        return tapped

    def _record_symbolic(self, element: Any, pass_number: Any = None) -> Any:
        """Record an element inside a graph: the returned tensors depend on it."""
        image, label, path = find_parts(element)
        if image is None:
            self._fail("the elements of the pipeline contain no image")
            return element
        if pass_number is None:
            if self._recorder is not None:
                self._recorder.is_single_pass = False
            pass_number = tf.constant(0, tf.int64)
        labels = label if isinstance(label, Mapping) else {"": label}
        present = {("image", ""): image, **{("label", str(name)): one for name, one in labels.items()}}
        present[("path", "")] = path
        present = {name: one for name, one in present.items() if one is not None and not isinstance(one, Mapping)}

        def record(number: Any, *values: Any) -> Any:
            if self._is_wanted(int(number)):
                self._record(_join(dict(zip(present, values, strict=True))))
            return number

        values = [one.to_tensor() if isinstance(one, tf.RaggedTensor) else one for one in present.values()]
        token = tf.numpy_function(record, [pass_number, *values], tf.int64)
        with tf.control_dependencies([token]):
            return tf.nest.map_structure(tf.identity, element)

    def _begin_pass(self) -> Any:
        with self._record_lock:
            self._passes += 1
            if self._recorder is not None and self._passes > 1 and not self._has_complete_pass:
                self._recorder.reset()
            return tf.constant(self._passes, tf.int64).numpy()

    def _end_pass(self, number: Any) -> Any:
        with self._record_lock:
            self._has_complete_pass |= int(number) == self._passes
            return number * 0

    def _is_wanted(self, number: int) -> bool:
        return number == 0 or (number == self._passes and not self._has_complete_pass)

    def _record(self, element: Any, guard: PassGuard | None = None) -> None:
        """Record an element, or each of a list of images; with a guard, of the first pass only."""
        if self._recorder is None or (guard is not None and guard.has_repeated):
            return
        try:
            for found in read_element(element):
                for one in (found,) if guard is None else guard.feed(found):
                    take(self._recorder, one)
        except Exception as error:  # the pipeline goes on
            self._fail(describe_error(error))

    def _fail(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            name = self._recorder.name if self._recorder is not None else self.name
            logger.warning("stage %s: images are not recorded: %s", name, reason)


def _join(values: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the element of values from a graph."""
    labels = {name: value for (part, name), value in values.items() if part == "label"}
    element = {part: value for (part, name), value in values.items() if not name}
    return element if "" in labels or not labels else {**element, "label": labels}


def _structure(parts: tuple[Any, ...], dataset: Any) -> Any:
    """Return the element of a data set from `map`'s arguments."""
    return parts if isinstance(dataset.element_spec, tuple) else parts[0]
