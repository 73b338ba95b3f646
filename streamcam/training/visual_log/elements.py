"""Find images, labels and paths in the elements of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .labels import Labels, read_labels

_IMAGE_KEYS = ("image", "images", "pixel_values", "pixels", "x", "input", "inputs")
_LABEL_KEYS = ("label", "labels", "class", "target", "targets", "y")
_MIN_SIDE = 8  # of an array without a channel axis; a smaller one is a table
_PATH_KEYS = ("path", "paths", "file", "filename", "file_path", "filepath", "image/filename")
_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The parts of an element.

    Attributes:
        images: ``(N, height, width, channels)``.
        labels: class indices, -1 for none; None without labels.
        paths: of the files; None if unknown.
        names: class name of each image instead of an index; None without.
        odd_labels: labels that are no class index.
        ignored: what of the labels is not used: ``labels that are images``; empty if all is.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    paths: list[str] | None = None
    names: list[str] | None = None
    odd_labels: int = 0
    ignored: str = ""

    def first(self, count: int) -> Images:
        """Return the first images alone.

        Args:
            count: their number.
        """
        return self._part(0, count) if count < len(self.images) else self

    def split(self) -> Iterator[Images]:
        """Yield each image alone."""
        for number in range(len(self.images)):
            # The odd labels of a batch are counted with its first image.
            yield replace(self._part(number, number + 1), odd_labels=0 if number else self.odd_labels)

    def _part(self, start: int, end: int) -> Images:
        return Images(
            self.images[start:end],
            None if self.labels is None else self.labels[start:end],
            None if self.paths is None else self.paths[start:end],
            None if self.names is None else self.names[start:end],
            min(self.odd_labels, end - start),
            self.ignored,
        )


def find_parts(element: Any) -> tuple[Any, Any, Any]:
    """Return image, label and path of an element; None for parts that it lacks.

    Args:
        element: an image, a tuple ``(image, label, ...)`` or a mapping; tensors or arrays, batched or not.
    """
    if isinstance(element, Mapping):
        keys = {str(key).lower(): key for key in element}
        image = next((element[keys[name]] for name in _IMAGE_KEYS if name in keys), None)
        if image is None:
            image = next((one for rank in (3, 2) for one in element.values() if _rank(one) >= rank), None)
        label = next((element[keys[name]] for name in _LABEL_KEYS if name in keys), None)
        path = next((element[keys[name]] for name in _PATH_KEYS if name in keys), None)
        if isinstance(image, Mapping):
            inner = find_parts(image)
            return inner[0], label if label is not None else inner[1], path if path is not None else inner[2]
        return image, label, path
    if isinstance(element, (tuple, list)) and element:
        image, label, path = _find_input(element[0])
        if label is None and len(element) > 1:
            label = element[1]
        return image, label, path
    return element, None, None


def _find_input(value: Any) -> tuple[Any, Any, Any]:
    """Return the parts of a model's input, which may be several: the first that is an image."""
    if isinstance(value, (tuple, list)) and len(value) > 1:
        found = next((one for one in value if _rank(one) >= 3), None)
        if found is not None:
            return found, None, None
    return find_parts(value)


def expand_lists(element: Any) -> Iterator[Any]:
    """Yield the elements in a list of images, or in lists ``(images, labels)``; another element as it is.

    Args:
        element: as for `normalize_element`.
    """
    if is_image_list(element):
        yield from element
    elif isinstance(element, (tuple, list)) and len(element) > 1 and is_image_list(element[0]):
        labels = element[1]
        if hasattr(labels, "__len__") and not isinstance(labels, Mapping) and len(labels) == len(element[0]):
            yield from zip(element[0], labels, strict=True)
        else:
            yield from element[0]
    else:
        yield element


def is_image_list(value: Any) -> bool:
    """Return True for a list of single images: arrays of two or three axes, all alike."""
    if not isinstance(value, list) or not value:
        return False
    ranks = {_rank(one) for one in value}
    return len(ranks) == 1 and ranks <= {2, 3} and all(min(one.shape) > 0 for one in value)


def normalize_element(element: Any) -> Images:
    """Return the parts of an element as batches of NumPy arrays.

    Args:
        element: as for `find_parts`; with values, not symbolic tensors.

    Raises:
        OptionError: it contains no images.
    """
    image, label, path = find_parts(element)
    return to_images(None if image is None else to_array(image), label, path)


def to_images(images: NDArray[Any] | None, label: Any = None, path: Any = None) -> Images:
    """Return images with labels and paths as batches.

    Args:
        images: ``(N, h, w, channels)``, ``(h, w, channels)``, ``(h, w)`` or channels first.
        label: class index, one-hot vector, or one for each image.
        path: text, or one for each image.

    Raises:
        OptionError: the array is no image.
    """
    labels = None if label is None else _to_label_arrays(label)
    shapes = [one.shape for one in (labels.values() if isinstance(labels, dict) else [labels]) if one is not None]
    label_shape = shapes[0] if shapes else ()
    if images is None or not is_image(images, label_shape):
        shape = "nothing" if images is None else f"an array {images.shape} of {images.dtype}"
        raise OptionError(f"a stage passed {shape}", expected="images (N, H, W, C), (H, W, C) or (H, W)")
    images = _to_batch(images, label_shape[:1])
    if images.dtype.kind == "b":
        images = images.astype(np.uint8)
    found = Labels() if labels is None else read_labels(labels, len(images))
    return Images(images, found.indices, _to_paths(path, len(images)), found.names, found.num_odd, found.ignored)


def is_image(array: NDArray[Any], label_shape: tuple[int, ...] = ()) -> bool:
    """Return True for an array that can be an image, or images.

    Args:
        array: of numbers. A small array of two axes, or one with a label for each row, is a table.
        label_shape: of the labels of the same element.
    """
    if array.dtype.kind not in "uifb" or not 2 <= array.ndim <= 5 or not array.size:
        return False
    is_table = array.ndim == 2 and (min(array.shape) < _MIN_SIDE or label_shape[:1] == array.shape[:1])
    return not is_table


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


def _to_label_arrays(label: Any) -> NDArray[Any] | dict[str, NDArray[Any]]:
    if isinstance(label, Mapping):
        return {str(name): to_array(value) for name, value in label.items()}
    try:
        return to_array(label)
    except ValueError:  # rows of different lengths
        return np.zeros(0, object)


def _to_paths(path: Any, count: int) -> list[str] | None:
    if path is None:
        return None
    array = np.atleast_1d(to_array(path)).reshape(-1)
    if len(array) != count:
        return None
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]


def to_array(value: Any) -> NDArray[Any]:
    """Return a tensor, a list or an array as an array."""
    if hasattr(value, "to_tensor"):  # a ragged batch
        value = value.to_tensor()
    if "bfloat16" in str(getattr(value, "dtype", "")):
        return np.asarray(value).astype(np.float32)
    return np.asarray(value)


def _rank(value: Any) -> int:
    """Return the number of axes; that of an unknown shape counts as 4, as of images."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return 0
    try:
        return len(shape)
    except ValueError:
        return 4
