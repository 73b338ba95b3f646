"""Tell training from validation data in the result of a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...notes import get_logger
from .elements import is_image, is_image_list
from .evidence import Split

logger = get_logger(__name__)

TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("validation", "val", "valid", "test")


def split_result(result: Any) -> list[tuple[Split, Any]]:
    """Return the data of each data set in a function's result.

    A pair of data sets, or of ``(x, y)``, is training and validation data; so are ``x_train, y_train, x_val, y_val``
    (also in the order ``x_train, x_val, y_train, y_val``), and two arrays of images of different lengths. Two arrays of
    one length are images and targets.

    Args:
        result: a data set, arrays, a mapping with ``train``, or several of these.
    """
    if isinstance(result, Mapping) and any(str(name).casefold() in TRAIN_NAMES for name in result):
        lower = {str(name).casefold(): value for name, value in result.items()}
        found: list[tuple[Split, Any]] = [("train", lower[name]) for name in TRAIN_NAMES if name in lower]
        return found[:1] + [("validation", lower[name]) for name in VALIDATION_NAMES if name in lower][:1]
    if not isinstance(result, (tuple, list)):
        return [("train", result)]
    parts = [one for one in result if one is not None]
    if isinstance(result, tuple) and len(parts) == 4 and (pairs := _pair_arrays(*parts)):
        parts = pairs
    if len(parts) in (2, 3) and all(_is_data_set(one) for one in parts):
        if len(parts) == 3:
            logger.info("the third of 3 data sets is not read")
        return [("train", parts[0]), ("validation", parts[1])]
    are_images = isinstance(result, tuple) and len(parts) == 2 and all(_is_images(one) for one in parts)
    if are_images and len(parts[0]) != len(parts[1]):
        return [("train", parts[0]), ("validation", parts[1])]
    if len(parts) == 1 and len(parts) < len(result):  # (train, None)
        return [("train", parts[0])]
    return [("train", result)]


def _pair_arrays(first: Any, second: Any, third: Any, fourth: Any) -> list[Any]:
    """Return two pairs of four arrays; empty for others."""
    orders = [((first, second), (third, fourth)), ((first, third), (second, fourth))]
    if _is_images(second) and not _is_images(third):
        orders.reverse()
    for one, other in orders:
        if _is_pair(one) and _is_pair(other):
            return [one, other]
    return []


def _is_data_set(value: Any) -> bool:
    """Return True for a data set, a generator, or a pair."""
    if isinstance(value, (tuple, list)):
        return len(value) > 1 and not is_image_list(value) and _is_pair(value)
    is_other = hasattr(value, "shape") or isinstance(value, (str, bytes, Mapping))
    return isinstance(value, Iterable) and not is_other


def _is_pair(value: Any) -> bool:
    """Return True for images with a target for each."""
    if not _is_images(value[0]):
        return False
    try:
        return len(value[1]) == len(value[0])
    except TypeError:
        return False


def _is_images(value: Any) -> bool:
    """Return True for an array or a list of images."""
    if is_image_list(value):
        return True
    return hasattr(value, "shape") and len(value.shape) >= 3 and is_image(np.asarray(value))
