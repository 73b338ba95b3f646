"""Find images, labels and paths in the elements of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError

_IMAGE_KEYS = ("image", "images", "pixel_values", "pixels", "x", "input", "inputs")
_LABEL_KEYS = ("label", "labels", "class", "target", "targets", "y")
_PATH_KEYS = ("path", "paths", "file", "filename", "file_path", "filepath", "image/filename")
_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The parts of an element.

    Attributes:
        images: ``(N, height, width, channels)``.
        labels: class indices, -1 for none; None without labels.
        paths: of the files; None if unknown.
        odd_labels: labels that are no class index.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    paths: list[str] | None = None
    odd_labels: int = 0


def find_parts(element: Any) -> tuple[Any, Any, Any]:
    """Return image, label and path of an element; None for parts that it lacks.

    Args:
        element: an image, a tuple ``(image, label, ...)`` or a mapping; tensors or arrays, batched or not.
    """
    if isinstance(element, Mapping):
        keys = {str(key).lower(): key for key in element}
        image = next((element[keys[name]] for name in _IMAGE_KEYS if name in keys), None)
        if image is None:
            image = next((one for one in element.values() if _is_image_like(one)), None)
        label = next((element[keys[name]] for name in _LABEL_KEYS if name in keys), None)
        path = next((element[keys[name]] for name in _PATH_KEYS if name in keys), None)
        if isinstance(image, Mapping):
            inner = find_parts(image)
            return inner[0], label if label is not None else inner[1], path if path is not None else inner[2]
        return image, label, path
    if isinstance(element, (tuple, list)) and element:
        image, label, path = find_parts(element[0])
        if label is None and len(element) > 1 and not isinstance(element[1], Mapping):
            label = element[1]
        return image, label, path
    return element, None, None


def normalize_element(element: Any) -> Images:
    """Return the parts of an element as batches of NumPy arrays.

    Args:
        element: as for `find_parts`; with values, not symbolic tensors.

    Raises:
        OptionError: it contains no images.
    """
    image, label, path = find_parts(element)
    return to_images(None if image is None else _to_array(image), label, path)


def to_images(images: NDArray[Any] | None, label: Any = None, path: Any = None) -> Images:
    """Return images with labels and paths as batches.

    Args:
        images: ``(N, h, w, channels)``, ``(h, w, channels)``, ``(h, w)`` or channels first.
        label: class index, one-hot vector, or one for each image.
        path: text, or one for each image.

    Raises:
        OptionError: the array is no image.
    """
    if images is None or images.dtype.kind not in "uifb" or not 2 <= images.ndim <= 5:
        shape = "nothing" if images is None else f"an array {images.shape} of {images.dtype}"
        raise OptionError(f"a stage passed {shape}", expected="images (N, H, W, C), (H, W, C) or (H, W)")
    images = _to_batch(images, np.shape(label)[:1])
    if images.dtype.kind == "b":
        images = images.astype(np.uint8)
    labels, odd = _to_labels(label, len(images))
    return Images(images, labels, _to_paths(path, len(images)), odd)


def _to_batch(images: NDArray[Any], label_shape: tuple[int, ...]) -> NDArray[Any]:
    """Add missing axes, and move channels to the end."""
    if images.ndim == 5:  # frames of clips
        images = images.reshape(-1, *images.shape[2:])
    if images.ndim == 2:
        images = images[None, :, :, None]
    elif images.ndim == 3:
        is_single = images.shape[-1] in _CHANNELS or images.shape[0] in _CHANNELS
        is_single &= label_shape != images.shape[:1] or images.shape[-1] in _CHANNELS
        images = images[None] if is_single else images[..., None]
    if images.shape[-1] not in _CHANNELS and images.shape[1] in _CHANNELS:
        images = np.moveaxis(images, 1, -1)
    return images


def _to_labels(label: Any, count: int) -> tuple[NDArray[np.int64] | None, int]:
    """Return class indices, -1 for none, and the number of others."""
    if label is None or isinstance(label, Mapping):
        return None, 0
    array = _to_array(label)
    if array.dtype.kind not in "uifb" or array.size % count:
        return None, 0
    array = array.reshape(count, -1)
    if array.shape[1] == 1:
        values = array[:, 0].astype(np.float64)
        is_index = np.isfinite(values) & (values == np.round(values)) & (values >= 0)
        return np.where(is_index, values, -1).astype(np.int64), int((~is_index).sum())
    # One-hot, or smoothed; a mixture of classes is none.
    ordered = np.sort(array.astype(np.float64), axis=1)
    is_one_hot = (ordered[:, -1] > 0.6) & (ordered[:, -2] < 0.3)
    return np.where(is_one_hot, array.argmax(1), -1).astype(np.int64), 0


def _to_paths(path: Any, count: int) -> list[str] | None:
    if path is None:
        return None
    array = np.atleast_1d(_to_array(path)).reshape(-1)
    if len(array) != count:
        return None
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]


def _to_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "to_tensor"):  # a ragged batch
        value = value.to_tensor()
    if str(getattr(value, "dtype", "")).endswith("bfloat16'>") or "bfloat16" in str(getattr(value, "dtype", "")):
        return np.asarray(value).astype(np.float32)
    return np.asarray(value)


def _is_image_like(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    return shape is not None and len(shape) >= 2
