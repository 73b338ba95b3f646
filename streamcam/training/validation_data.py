"""The fixed validation images of a callback."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, describe_error

_EXPECTED = "arrays (x, y), a tf.data.Dataset, a PyDataset, or a generator of batches"

ValueRange: TypeAlias = tuple[Any, Any]
"""Black and white in the model's input: numbers, or one for each channel."""


@dataclass(frozen=True, slots=True, eq=False)
class ValidationBatch:
    """Images as the model gets them, with their classes.

    Attributes:
        inputs: float32 ``(N, H, W, channels)``.
        classes: int64 ``(N,)``; None if the data has no labels, or none that are one class an image.
        value_range: black and white, float32 ``(channels,)`` each.
        names: of the classes, if the data has them.
    """

    inputs: NDArray[np.float32]
    classes: NDArray[np.int64] | None
    value_range: tuple[NDArray[np.float32], NDArray[np.float32]]
    names: tuple[str, ...] = ()
    label_problem: str = ""
    """Why the labels are no classes; empty if they are, or if there are none."""

    def rgb_images(self) -> NDArray[np.uint8]:
        """Return the images to draw on, ``uint8 (N, H, W, 3)`` RGB; a single channel is gray."""
        black, white = self.value_range
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = np.nan_to_num((self.inputs - black) / (white - black) * 255)
        levels = levels[..., :3] if levels.shape[3] >= 3 else np.repeat(levels[..., :1], 3, axis=3)
        return np.asarray(np.rint(np.clip(levels, 0, 255)), np.uint8)

    def rgb_to_input(self, images: Any) -> Any:
        """Return the model input of RGB images, as a tensor.

        A model of another number of channels gets the first one in each.

        Args:
            images: float32 ``(N, H, W, 3)``, 0–255.
        """
        black, white = self.value_range
        samples = images if len(black) == 3 else images[..., :1]
        return samples * ((white - black) / 255) + black


def read_batch(
    data: Any,
    max_images: int,
    *,
    image_input: str = "",
    constants: Collection[str] = (),
    value_range: ValueRange | str = "auto",
) -> ValidationBatch:
    """Take the first images of validation data.

    Args:
        data: as ``validation_data`` of ``fit``; a generator loses the batches that are read.
        max_images: most images to take.
        image_input: name of the input that takes the images, for data that are dicts of several inputs.
        constants: names of the inputs that get a constant instead of the values in the data.
        value_range: black and white in the data; ``auto`` takes 0–255, 0–1 or −1–1, whichever holds all values, else
            the smallest and the largest.

    Raises:
        OptionError: there are no images, or an argument is invalid.
    """
    inputs: list[NDArray[np.float32]] = []
    labels: list[NDArray[Any]] = []
    count = 0
    for x, y in _batches(data):
        images = _as_images(x, image_input, constants)
        inputs.append(images)
        if y is not None:
            labels.append(y.reshape(1) if y.ndim == 0 else y)
        count += len(images)
        if count >= max_images:
            break
    if not count:
        raise OptionError("the validation data has no images", expected=_EXPECTED)
    if len({one.shape[1:] for one in inputs}) > 1:
        raise OptionError("the validation images have several sizes", expected="images of one size, as the model takes")
    batch = np.concatenate(inputs)[:max_images]
    classes, problem = _class_indices(_joined(labels)[:max_images]) if labels else (None, "")
    if classes is not None and len(classes) != len(batch):
        raise OptionError(f"the validation data has {len(batch)} images and {len(classes)} labels")
    if not np.isfinite(batch).all():
        raise OptionError("a validation image has values that are not finite", hint="check the preprocessing")
    names = tuple(map(str, getattr(data, "class_names", None) or ()))
    return ValidationBatch(batch, classes, _resolve_range(value_range, batch), names, problem)


def _batches(data: Any) -> Iterator[tuple[Any, NDArray[Any] | None]]:
    """Yield batches of inputs and labels."""
    if _is_array(data) or isinstance(data, Mapping):
        yield data, None
        return
    if isinstance(data, (tuple, list)) and data and (_is_array(data[0]) or isinstance(data[0], Mapping)):
        yield data[0], _labels(data)
        return
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2
    if is_pair and _is_list_of(data[0], (2, 3)) and _is_list_of(data[1], (0, 1)):  # ([image, ...], [label, ...])
        yield _stacked(data[0]), _stacked(data[1])
        return
    for element in _elements(data):
        if isinstance(element, (tuple, list)):
            if not element:
                raise OptionError("a batch of the validation data is empty", expected=_EXPECTED)
            yield element[0], _labels(element)
        else:
            yield element, None


def _is_list_of(value: Any, dimensions: tuple[int, ...]) -> bool:
    """Return True for a list of samples of so many dimensions."""
    return (
        isinstance(value, list)
        and bool(value)
        and all((_is_array(one) or isinstance(one, Real)) and np.ndim(one) in dimensions for one in value)
    )


def _stacked(samples: Sequence[Any]) -> NDArray[Any]:
    try:
        return np.stack([np.asarray(one) for one in samples])
    except ValueError:
        raise OptionError("the samples of the validation data have several shapes", expected="one shape") from None


def _elements(data: Any) -> Iterable[Any]:
    """Return the batches of a data set, a `PyDataset` or an iterable."""
    if hasattr(data, "__getitem__") and hasattr(data, "num_batches"):  # a PyDataset
        indices = itertools.count() if data.num_batches is None else range(data.num_batches)
        return _guarded(data[index] for index in indices)
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise OptionError(f"validation data of type {type(data).__name__}", expected=_EXPECTED)
    return _guarded(data)


def _guarded(data: Iterable[Any]) -> Iterator[Any]:
    """Yield the elements; translate what reading them raises."""
    try:
        yield from data
    except OptionError:
        raise
    except Exception as error:
        raise OptionError(f"the validation data cannot be read: {describe_error(error)}") from error


def _labels(element: Sequence[Any]) -> NDArray[Any] | None:
    return np.asarray(element[1]) if len(element) > 1 and element[1] is not None else None


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _as_images(x: Any, image_input: str, constants: Collection[str]) -> NDArray[np.float32]:
    """Return a batch of inputs as float32 ``(N, H, W, channels)``."""
    if isinstance(x, Mapping):
        name = next(iter(x)) if len(x) == 1 and not image_input else image_input
        if name not in x:
            raise OptionError(
                f"the validation data has the inputs {', '.join(map(str, x))}",
                hint="name the one that takes the images: image_input=NAME",
            )
        if others := [str(one) for one in x if one not in (name, *constants)]:
            raise OptionError(
                f"the validation data has values of {', '.join(others)}, but all images are explained with equal ones",
                hint=f"set a constant for all images: extra_input={{{others[0]!r}: VALUE}}",
            )
        x = x[name]
    elif isinstance(x, (tuple, list)) and x and _is_array(x[0]):
        raise OptionError(
            f"the validation data has {len(x)} inputs without names",
            expected="images alone, or a dict of inputs",
            hint="give (images, labels), and the other inputs as extra_input={...}",
        )
    images = np.asarray(x)
    if images.dtype.kind not in "fiub" and images.dtype.name != "bfloat16":
        raise OptionError(f"validation images of {images.dtype}", expected="numbers")
    if images.ndim == 3:  # one image, or a batch of gray images without an axis of channels
        images = images[None] if images.shape[2] in (1, 3, 4) else images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise OptionError(f"validation data of shape {images.shape}", expected="images (N, H, W, channels)")
    return images.astype(np.float32)


def _joined(labels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the labels of all batches.

    Raises:
        OptionError: they do not fit together.
    """
    try:
        return np.concatenate(labels)
    except ValueError:
        raise OptionError(
            "the validation labels of the batches have several shapes", expected="(N,) or (N, classes)"
        ) from None


def _class_indices(labels: NDArray[Any]) -> tuple[NDArray[np.int64] | None, str]:
    """Return class indices of indices, one-hot rows or a single unit; or None, and why there are none."""
    if labels.dtype.kind not in "fiub":
        raise OptionError(f"validation labels of {labels.dtype}", expected="class indices or one-hot rows")
    if labels.ndim > 2 or (labels.ndim == 2 and labels.shape[1] == 0):
        raise OptionError(f"validation labels of shape {labels.shape}", expected="(N,) or (N, classes)")
    if not np.isfinite(labels).all():
        return None, "the validation labels have values that are not finite"
    if labels.ndim == 2 and labels.shape[1] > 1:
        values = labels.astype(np.float64)
        is_largest = values == values.max(axis=1, keepdims=True)
        if (values < 0).any() or (abs(values.sum(axis=1) - 1) > 1e-2).any() or (is_largest.sum(axis=1) != 1).any():
            return None, "the validation labels are no one-hot rows, so no image has one expected class"
        return np.asarray(values.argmax(axis=1), np.int64), ""
    flat = labels.reshape(-1).astype(np.float64)
    if (flat != np.rint(flat)).any():
        return None, "the validation labels are no whole numbers, so they are no classes"
    return np.asarray(flat, np.int64), ""


def _resolve_range(
    value_range: ValueRange | str, batch: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return black and white of each channel."""
    low, high = float(batch.min()), float(batch.max())
    black: Any
    white: Any
    if isinstance(value_range, str):
        if value_range != "auto":
            raise OptionError(f"unknown value_range {value_range!r}", expected="auto, or (black, white)")
        if low >= 0:
            black, white = (0.0, 1.0) if high <= 1 else (0.0, 255.0) if high <= 255 else (low, high)
        else:
            black, white = (-1.0, 1.0) if low >= -1 and high <= 1 else (low, high)
    else:
        try:
            black, white = value_range
            black, white = np.asarray(black, np.float32), np.asarray(white, np.float32)
        except (TypeError, ValueError):
            raise OptionError(
                f"invalid value_range {value_range!r}", expected="(black, white), numbers or one for each channel"
            ) from None
    channels = batch.shape[3]
    try:
        ends = [np.broadcast_to(np.asarray(end, np.float32), (channels,)) for end in (black, white)]
    except ValueError:
        raise OptionError(
            f"value_range is not for {channels} channels", expected="numbers, or one for each channel"
        ) from None
    if not (np.isfinite(ends).all() and (ends[0] != ends[1]).all()):
        if not isinstance(value_range, str):
            raise OptionError(f"invalid value_range {value_range!r}", expected="two finite numbers that differ")
        ends[1] = np.where(ends[0] == ends[1], ends[0] + 1, ends[1]).astype(np.float32)
    return ends[0], ends[1]
