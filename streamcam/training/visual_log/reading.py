"""Read what `streamcam inspect` is given: a folder of images, or a function that returns a pipeline."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SourceError, count_of
from ...imports import expand_path, is_function_path
from ...media.image_arrays import as_images
from ...notes import get_logger
from ...options import InspectOptions, ModelOptions
from .evidence import Split
from .function_data import TRAIN_NAMES, VALIDATION_NAMES, read_function
from .log import VisualLog
from .words import printable

logger = get_logger(__name__)

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
_MODEL_STAGE = "model input"


def inspect_source(
    source: str,
    *,
    validation: str = "",
    model: ModelOptions | None = None,
    options: InspectOptions | None = None,
) -> VisualLog:
    """Read a folder or a pipeline, and return its visual log.

    Args:
        source: a folder, with a subfolder for each class, or with ``train`` and ``validation`` folders of such; or
            ``package.module:function``, which returns a data set, arrays, a pair of training and validation data, or
            a `VisualLog`. A parameter ``log`` of it receives the log, for taps; the function may then return nothing.
        validation: folder of the validation images.
        model: the model that the images feed.
        options: how much to read.

    Raises:
        SourceError: there is no image.
        StreamcamError: the function fails, or the model cannot be loaded.
    """
    options = options or InspectOptions()
    loaded: Any = None
    if model is not None:
        from ...models.load import load_model

        loaded = load_model(model)
    log = VisualLog(samples=options.samples, seed=options.seed, model=loaded)
    path = expand_path(source)
    if path.is_dir():
        _read_folders(log, path, validation, options, loaded)
    elif is_function_path(source):
        log = read_function(log, source, options)
        if validation:
            _read_folder(log, _check_folder(validation), "validation", options, loaded)
    else:
        raise SourceError(f"no folder {source}", expected="a folder of images, or package.module:function")
    if log.unreadable and not log.stages():
        raise SourceError(f"no image in {source} can be read", hint=f"such as: {log.unreadable[0][1]}")
    if not log.stages():
        raise SourceError(f"{source} contains no images", expected="images in one subfolder for each class")
    return log


def _read_folders(log: VisualLog, path: Path, validation: str, options: InspectOptions, loaded: Any) -> None:
    names = {child.name.casefold(): child for child in sorted(path.iterdir()) if child.is_dir()}
    train = next((names[name] for name in TRAIN_NAMES if name in names), None)
    other = next((names[name] for name in VALIDATION_NAMES if name in names), None)
    if train is None or (other is None and len(names) > 1):
        train, other = path, None
    if validation:
        other = _check_folder(validation)
    _read_folder(log, train, "train", options, loaded)
    if other is not None:
        _read_folder(log, other, "validation", options, loaded)


def _check_folder(name: str) -> Path:
    path = expand_path(name)
    if not path.is_dir():
        raise SourceError(f"no folder {name}", expected="a folder of images for --validation")
    return path


def find_images(path: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Return the images of a folder with their classes.

    Args:
        path: with a subfolder for each class, in alphabetical order as Keras reads them; or with images, whose class
            is -1.
    """
    children = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    folders = [one for one in children if one.is_dir()]
    found = [
        (file, label)
        for label, folder in enumerate(folders)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    ]
    if found:
        return found, tuple(folder.name for folder in folders)
    return [(one, -1) for one in children if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file()], ()


def _read_folder(log: VisualLog, path: Path, split: Split, options: InspectOptions, loaded: Any) -> None:
    images, classes = find_images(path)
    if classes and not log.class_names:
        log.class_names = classes
    elif classes and set(classes) <= set(log.class_names):
        images = [(file, log.class_names.index(classes[label])) for file, label in images]
    name = "files" if split == "train" else "validation files"
    recorder = log.recorder(name, split)
    chosen = images
    if len(images) > options.limit:
        chosen = sorted(random.Random(options.seed).sample(images, options.limit))  # noqa: S311
        logger.info("%s: %d of %s are read", path, options.limit, count_of(len(images), "image"))
    unreadable: list[tuple[str, str]] = []
    for file, label in chosen:
        try:
            image = as_images([file])[0][0]
        except SourceError as error:
            unreadable.append((name, printable(str(error))))
            continue
        labels = None if label < 0 else np.array([label], np.int64)
        shown = [file.relative_to(path).as_posix()]
        recorder.record(image[None], labels, shown)
        if loaded is not None:
            stage = _MODEL_STAGE if split == "train" else f"validation {_MODEL_STAGE}"
            log.recorder(stage, split).record(_model_input(image, loaded), labels, shown)
    if unreadable:
        log.unreadable += unreadable
        logger.warning("%s cannot be read, such as: %s", count_of(len(unreadable), "image"), unreadable[0][1])


def _model_input(image: Any, loaded: Any) -> Any:
    """Crop to the aspect ratio of the model's input, resize, and preprocess."""
    from ...tf import keras, tf

    width, height = loaded.input_size
    rows, columns = image.shape[:2]
    keep_rows, keep_columns = min(rows, columns * height / width), min(columns, rows * width / height)
    top, left = int(rows - keep_rows) // 2, int(columns - keep_columns) // 2
    cropped = image[top : top + max(1, round(keep_rows)), left : left + max(1, round(keep_columns))]
    resized = tf.image.resize(tf.cast(cropped[None], tf.float32), (height, width), antialias=True)
    return keras.ops.convert_to_numpy(loaded.preprocess(resized))
