"""Values for the other inputs of a model with several: constants, and functions of the images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, OptionError, StreamcamError, describe_error
from ..imports import expand_path, import_function, is_function_path

Shape: TypeAlias = tuple[int | None, ...]
Feeder: TypeAlias = Callable[[Any], Any]
"""Preprocessed images ``(N, H, W, 3)`` → the value of another input, ``(N, …)``; traceable."""

_EXPECTED = "a number, a list of numbers, an array, a .npy file or package.module:function"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of a model.

    Attributes:
        name: declared name.
        shape: shape with the batch axis; None for a length that is not fixed.
        dtype: such as ``float32``.
    """

    name: str
    shape: Shape
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {format_shape(self.shape)}"


def format_shape(shape: Shape) -> str:
    """Format a shape for messages: ``(N, 8, 8, 3)``; ``?`` for a length that is not fixed.

    Args:
        shape: a shape with the batch axis.
    """
    lengths = ["N", *(str(length or "?") for length in shape[1:])]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})" if shape else "()"


def make_feeder(name: str, value: Any, declared: InputSpec | None) -> Feeder:
    """Make a function from images to the value of an input.

    Args:
        name: name of the input, for messages.
        value: one row, the same for every image (a number fills the row), as a number, a list, an array, JSON text
            or a ``.npy`` file; or a function of the preprocessed images ``(N, H, W, 3)`` that returns ``(N, …)``,
            also as ``package.module:function``.
        declared: the input as the model declares it. None if it does not: floats are then float32, integers keep
            their type, and a number is a row of one.

    Raises:
        OptionError: invalid value, or another shape or type than declared.
        ModelError: the function cannot be imported.
    """
    parsed = _parse_value(name, value)
    if callable(parsed):
        return _make_function_feeder(name, parsed, declared)
    return _make_constant_feeder(_to_row(name, parsed, declared))


def _parse_value(name: str, value: Any) -> Any:
    """Parse a value into a function or an array of numbers."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return value if callable(value) else _to_array(name, value, value)
    text = value.strip()
    try:
        parsed = json.loads(text)
    except ValueError:
        if text.lower().endswith(".npy"):
            return _load_npy(name, expand_path(value))
        if is_function_path(text):
            return import_function(text)
        raise OptionError(f"invalid --extra-input {name}={value}", expected=_EXPECTED) from None
    return _to_array(name, parsed, text)


def _load_npy(name: str, path: Path) -> NDArray[Any]:
    try:
        return _to_array(name, np.load(path, allow_pickle=False), path)
    except (OSError, ValueError, EOFError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else "not an array of numbers"
        raise OptionError(f"--extra-input {name}={path} cannot be read: {cause}", expected=_EXPECTED) from error


def _to_array(name: str, value: Any, given: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception:  # tensors, data frames and ragged lists raise different errors
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise OptionError(
            f"invalid --extra-input {name}={given}: not numbers in rows of equal length", expected=_EXPECTED
        )
    return array


def _to_row(name: str, array: NDArray[Any], declared: InputSpec | None) -> NDArray[Any]:
    """Convert an array to one row of the declared shape and dtype."""
    if declared is None:
        row = array if array.ndim else array.reshape(1)
        return row.astype(np.float32) if row.dtype.kind == "f" else row
    shape = declared.shape[1:]
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:  # as `model.predict` takes it
        array = array[0]
    if not array.ndim and None not in shape:
        array = np.full([length or 0 for length in shape], array)
    if not _shapes_match(array.shape, shape):
        actual = "a number" if not array.ndim else f"of shape {array.shape}"
        raise OptionError(
            f"invalid --extra-input {name}: {actual}",
            expected=f"{format_shape(declared.shape)} without N, the same for every image",
        )
    from ..tf import tf

    dtype = tf.as_dtype(declared.dtype)
    with np.errstate(all="ignore"):
        row = array.astype(dtype.as_numpy_dtype)
    if (dtype.is_integer or dtype.is_bool) and not np.array_equal(row, array):
        raise OptionError(
            f"invalid --extra-input {name}: values outside {declared.dtype}", expected=f"{declared.dtype} numbers"
        )
    return row


def _shapes_match(shape: Shape, expected: Shape) -> bool:
    """Return True if two shapes agree in all lengths that both define."""
    return len(shape) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(shape, expected, strict=True)
    )


def _make_constant_feeder(row: NDArray[Any]) -> Feeder:
    from ..tf import tf

    def feed(images: Any) -> Any:
        count = images.shape[0] if images.shape[0] is not None else tf.shape(images)[0]
        return tf.broadcast_to(tf.constant(row), [count, *row.shape])

    return feed


def _make_function_feeder(name: str, function: Callable[[Any], Any], declared: InputSpec | None) -> Feeder:
    from ..tf import tf

    dtype = tf.as_dtype(declared.dtype) if declared is not None else None

    def feed(images: Any) -> Any:
        try:
            value = tf.convert_to_tensor(function(images))
            value = tf.cast(value, dtype) if dtype is not None else value
        except StreamcamError:
            raise
        except Exception as error:
            raise ModelError(f"the function of --extra-input {name} failed: {describe_error(error)}") from error
        count = images.shape[0]
        expected_shape = (count, *declared.shape[1:]) if declared is not None else (count, *value.shape[1:])
        if value.shape.rank is not None and not _shapes_match(tuple(value.shape), expected_shape):
            shape = format_shape(declared.shape) if declared is not None else "(N, …)"
            raise ModelError(
                f"the function of --extra-input {name} returned {tuple(value.shape)}",
                expected=shape if count is None else f"{shape}, N = {count}",
            )
        return value

    return feed
