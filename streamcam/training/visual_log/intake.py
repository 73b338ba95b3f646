"""Record elements of a pipeline, and note what is not used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...notes import get_logger
from .elements import Images, expand_lists, normalize_element
from .recorder import StageRecorder

logger = get_logger(__name__)


def read_element(element: Any) -> Iterator[Images]:
    """Yield the images of an element.

    Args:
        element: as for `elements.normalize_element`; or a list of images, or lists ``(images, labels)``.

    Raises:
        OptionError: it contains no images.
    """
    return (normalize_element(one) for one in expand_lists(element))


def take(recorder: StageRecorder, found: Images) -> None:
    """Record images.

    Args:
        recorder: of the stage.
        found: the images.
    """
    recorder.add(found)
    if found.ignored and not recorder.has_told:
        recorder.has_told = True
        logger.info("stage %s: not used: %s", recorder.name, found.ignored)
