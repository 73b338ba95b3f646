"""Read what a function of ``streamcam inspect`` returns: data sets, arrays or generators."""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OptionError, SourceError, StreamcamError, count_of, describe_error
from ...imports import import_function, working_directory_importable
from ...media.image_arrays import as_images
from ...notes import get_logger
from ...options import InspectOptions
from .elements import is_image_list
from .evidence import Split
from .intake import read_element, take
from .log import VisualLog
from .passes import PassGuard
from .splitting import TRAIN_NAMES, VALIDATION_NAMES, split_result

__all__ = ["TRAIN_NAMES", "VALIDATION_NAMES", "read_function"]

logger = get_logger(__name__)

_MAX_REFERENCE_FILES = 512
_MAX_IGNORED = 1000
_EXPECTED = "a data set, arrays, a generator, or a pair of them; with a parameter log, it may return nothing"


def read_function(log: VisualLog, path: str, options: InspectOptions) -> VisualLog:
    """Call a function, and record its data; return the log, which may be the function's own.

    Args:
        log: receives the stages.
        path: ``package.module:function``.
        options: how much to read.

    Raises:
        StreamcamError: there is no such function, it fails, or its data contain no image.
    """
    from ... import tf as _quiet  # noqa: F401 - imported before the module imports TensorFlow, with all its output

    function = import_function(path)
    try:
        takes_log = "log" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        takes_log = False
    try:
        with working_directory_importable():
            result = function(log=log) if takes_log else function()
            if isinstance(result, VisualLog):
                log = result
            elif result is not None:
                for split, data in split_result(result):
                    _read_data(log, split, data, options)
            elif not takes_log:
                raise SourceError(f"{path} returned None", expected=_EXPECTED)
    except StreamcamError:
        raise
    except (Exception, SystemExit) as error:
        raise SourceError(f"{path} failed: {describe_error(error)}") from error
    for split, files in log.files.items():
        _read_reference(log, split, files, options)
    return log


def _read_data(log: VisualLog, split: Split, data: Any, options: InspectOptions) -> None:
    """Record a data set as the stage that feeds the network."""
    log.note_files(split, data)
    recorder = log.recorder("input" if split == "train" else "validation input", split)
    guard = PassGuard() if _is_of_unknown_length(data) else None
    wrong: list[str] = []
    is_at_limit = has_ended = False
    try:
        for element in _elements(data):
            try:
                images = list(read_element(element))
            except OptionError as error:
                wrong.append(str(error))
                if len(wrong) > _MAX_IGNORED and not recorder.count:
                    break
                continue
            for one in itertools.chain.from_iterable([images] if guard is None else map(guard.feed, images)):
                is_at_limit = recorder.count + len(one.images) > options.limit
                if recorder.count < options.limit:
                    take(recorder, one.first(options.limit - recorder.count))
                if is_at_limit:
                    break
            if is_at_limit or (guard is not None and guard.has_repeated):
                break
        else:
            has_ended = True
    except StreamcamError:
        raise
    except Exception as error:
        if not recorder.count:
            raise
        recorder.is_complete = False
        read = count_of(recorder.count, "image")
        logger.warning("stage %s: reading failed after %s: %s", recorder.name, read, describe_error(error))
    if guard is not None:
        for one in guard.end():
            take(recorder, one)
        recorder.is_single_pass = has_ended or guard.has_repeated
        if guard.has_repeated:
            logger.info("stage %s: one pass of %s is read", recorder.name, count_of(recorder.count, "image"))
    if is_at_limit:
        recorder.is_complete = False
        logger.info("stage %s: reading stops after %s", recorder.name, count_of(recorder.count, "image"))
    if wrong and not recorder.count:
        raise OptionError(wrong[0])
    if wrong:
        what = count_of(len(wrong), "element")
        logger.warning("stage %s: %s without an image, such as: %s", recorder.name, what, wrong[0])


def _is_of_unknown_length(data: Any) -> bool:
    """Return True for a stream that may be endless: a generator, or a data set without a known size."""
    if hasattr(data, "cardinality"):
        return int(data.cardinality()) < 0
    return not isinstance(data, (tuple, Mapping)) and not hasattr(data, "__len__")


def _elements(data: Any) -> Iterable[Any]:
    """Return the elements of a data set once."""
    if hasattr(data, "shape") or isinstance(data, (tuple, Mapping)) or is_image_list(data):
        return [data]
    try:
        length = len(data)
    except TypeError:  # endless, or unknown
        elements: Iterable[Any] = iter(data)
        return elements
    if hasattr(data, "__getitem__"):
        return (data[index] for index in range(length))
    return itertools.islice(iter(data), length)


def _read_reference(log: VisualLog, split: Split, files: list[str], options: InspectOptions) -> None:
    """Read some files of a data set as reference."""
    recorder = log.recorder("files" if split == "train" else "validation files", split)
    recorder.is_reference = True
    names = [str(name) for name in log.class_names]
    paths = [Path(file) for file in files]
    if len(paths) > _MAX_REFERENCE_FILES:
        paths = random.Random(options.seed).sample(paths, _MAX_REFERENCE_FILES)  # noqa: S311
    for path in paths:
        try:
            image = as_images([path])[0][0]
        except SourceError:
            continue
        label = names.index(path.parent.name) if path.parent.name in names else -1
        recorder.record(image[None], np.array([label], np.int64), [f"{path.parent.name}/{path.name}"])
