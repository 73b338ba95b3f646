"""`VisualLog`: tap an input pipeline, find the classic faults, and write one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, SinkError
from ...notes import get_logger
from .checks import find_faults
from .elements import to_images
from .evidence import Evidence, Fault, Split, StageEvidence
from .intake import take
from .labels import NameIndex, relabel
from .recorder import StageRecorder, is_same_data
from .words import printable, stage_to_dict

if TYPE_CHECKING:
    from .tap import Tap

logger = get_logger(__name__)

MAX_SAMPLES = 256
DEFAULT_SAMPLES = 24
_VALIDATION_WORDS = ("val", "valid", "validation", "test", "eval")


class VisualLog:
    """Record the stages of an input pipeline, and name its faults.

        log = VisualLog(model=model)
        dataset = dataset.map(load).apply(log.tap("loaded")).map(augment).apply(log.tap("augmented"))
        model.fit(dataset)
        log.save("pipeline.html")

    Memory is bounded: a seeded sample of images and summaries of at most 4096 are kept, everything else is counted.
    The order in which taps are created is the order of the stages. Callable from any thread.

    Args:
        samples: images to keep at each stage, 1 to 256.
        seed: of the choice of the samples.
        model: the model that the pipeline feeds: a `keras.Model`, or as for ``--model``; None if unknown. It shows
            which range and channel order is right, and its predictions tell whether labels fit.
        class_names: names of the classes, in the order of their indices.
        num_classes: number of classes; 0 takes that of the model or of the names.
    """

    def __init__(
        self,
        *,
        samples: int = DEFAULT_SAMPLES,
        seed: int = 0,
        model: Any = None,
        class_names: Sequence[str] = (),
        num_classes: int = 0,
    ) -> None:
        if not 1 <= samples <= MAX_SAMPLES:
            raise OptionError(f"invalid samples {samples}", expected=f"1 to {MAX_SAMPLES}")
        self.class_names = tuple(class_names)
        self._samples, self._seed = samples, seed
        self._model, self._num_classes = model, num_classes
        self._recorders: dict[tuple[str, Split], StageRecorder] = {}
        self._taps: dict[tuple[str, Split], Tap] = {}
        self._names = NameIndex()
        self._second, self._told = set[str](), set[tuple[str, str]]()
        self.files: dict[Split, list[str]] = {}
        self.unreadable: list[tuple[str, str]] = []
        self._evidence: Evidence | None = None
        self._faults: tuple[Fault, ...] = ()
        self._counts: tuple[tuple[int, bool, bool], ...] = ()

    def tap(self, stage: str, *, split: Split | None = None) -> Tap:
        """Return a tap: call it with a part of the pipeline, or pass it to `tf.data.Dataset.apply`.

        Args:
            stage: name of the stage: ``after resize``.
            split: ``train`` or ``validation``; None takes ``validation`` if the name begins with such a word.

        Raises:
            OptionError: unknown split, or the name is empty.
        """
        from .tap import Tap

        recorder = self._recorder(stage, split)
        key = recorder.name, recorder.split
        if key not in self._taps:
            self._taps[key] = Tap(recorder, self)
        return self._taps[key]

    def record(
        self,
        stage: str,
        images: Any,
        labels: Any = None,
        *,
        paths: Sequence[str] | None = None,
        split: Split | None = None,
    ) -> None:
        """Record NumPy images.

        Args:
            stage: name of the stage.
            images: ``(N, H, W, C)``, ``(H, W, C)`` or ``(H, W)``.
            labels: class index, or one for each image; one-hot vectors too.
            paths: file of each image.
            split: as for `tap`.

        Raises:
            OptionError: the array is no image.
        """
        import numpy as np

        found = to_images(np.asarray(images), labels, None if paths is None else list(paths))
        take(self._recorder(stage, split), found)

    def second_tap(self, recorder: StageRecorder) -> Tap:
        """Return the tap of another data set that passes a stage.

        Args:
            recorder: of the data set before.
        """
        from .tap import Tap

        if recorder.split == "train":
            tap = self.tap(recorder.name, split="validation")
            if not tap.has_dataset:
                self._second.add(recorder.name)
                return tap
        if ("third", recorder.name) not in self._told:
            self._told.add(("third", recorder.name))
            words = "stage %s: a third data set passes it, and is not recorded; name its stage differently"
            logger.info(words, recorder.name)
        return Tap()

    def stages(self) -> tuple[StageEvidence, ...]:
        """Return the recorded stages, in order, training data first."""
        return tuple(self.evidence().stages)

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults of the images recorded so far.

        Raises:
            StreamcamError: the model cannot be loaded.
        """
        self.evidence()
        return self._faults

    def evidence(self) -> Evidence:
        """Return the evidence; check new images.

        Raises:
            StreamcamError: the model cannot be loaded.
        """
        counts = tuple((one.count, one.is_single_pass, one.is_complete) for one in self._recorders.values())
        if self._evidence is None or counts != self._counts:
            recorders = sorted(self._recorders.values(), key=lambda one: (one.split != "train", not one.is_reference))
            stages, names = self._with_names([one for one in recorders if one.count and not self._is_again(one)])
            self._evidence = self._with_model(stages, names)
            self._faults = find_faults(self._evidence)
            self._counts = counts
        return self._evidence

    def report(self) -> tuple[Fault, ...]:
        """Log a line for each stage and each fault; return the faults.

        Each record has the attribute ``visual``: the `StageEvidence` or `Fault` that it describes.
        """
        from .words import describe_stage

        for stage in self.stages():
            logger.info("stage %s: %s", stage.name, describe_stage(stage), extra={"visual": stage})
        for fault in self.faults():
            words = f"{fault.name}, stage {fault.stage}: {fault.words}"
            logger.warning("%s", words, extra={"visual": fault})
        return self.faults()

    def to_dict(self) -> dict[str, Any]:
        """Return faults, unreadable files and stages as values for JSON."""
        return {
            "faults": [fault.to_dict() for fault in self.faults()],
            "unreadable": len(self.unreadable),
            "stages": [stage_to_dict(stage) for stage in self.stages()],
        }

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False, title: str = "Input pipeline") -> Path:
        """Write the page: one HTML file that needs no network.

        Args:
            path: of the file, ``.html``.
            overwrite: replace an existing file.
            title: heading of the page.

        Raises:
            OptionError: another suffix, or no images were recorded.
            SinkError: the file exists, or cannot be written.
        """
        from .page import write_page

        self.report()
        path = Path(path)
        if path.exists() and not overwrite:
            raise SinkError(f"{path} exists", hint="use another name, or overwrite=True")
        return write_page(self.evidence(), self.faults(), path, overwrite=overwrite, title=title, option="path")

    def set_model(self, model: Any) -> None:
        """Set the model, before `faults` is called.

        Args:
            model: as for the constructor.
        """
        self._model, self._evidence = model, None

    def note_files(self, split: Split, dataset: Any) -> None:
        """Keep the class names and files of a data set.

        Args:
            split: of the data set.
            dataset: with ``class_names`` and ``file_paths``, as from `keras.utils.image_dataset_from_directory`.
        """
        self.class_names = self.class_names or tuple(getattr(dataset, "class_names", None) or ())
        if split not in self.files and (files := getattr(dataset, "file_paths", None)):
            self.files[split] = [str(file) for file in files]

    def recorder(self, stage: str, split: Split | None = None) -> StageRecorder:
        """Return the recorder of a stage, for readers within the package."""
        return self._recorder(stage, split)

    def _recorder(self, stage: str, split: Split | None) -> StageRecorder:
        if not isinstance(stage, str) or not stage.strip():
            raise OptionError(f"invalid stage {stage!r}", expected="a name, such as 'after resize'")
        stage = " ".join(stage.split())
        if split not in (None, "train", "validation"):
            raise OptionError(f"unknown split {split!r}", expected="train or validation")
        if split is None:
            first = stage.casefold().replace("_", " ").replace("-", " ").split(" ")[0]
            split = "validation" if first in _VALIDATION_WORDS else "train"
        key: tuple[str, Split] = (stage, split)
        if key not in self._recorders:
            self._recorders[key] = StageRecorder(
                stage, split, samples=self._samples, seed=self._seed, names=self._names
            )
        return self._recorders[key]

    def _is_again(self, recorder: StageRecorder) -> bool:
        """Return True for a data set that was built again; log it once."""
        if recorder.split == "train" or recorder.name not in self._second:
            return False
        first, second = self._recorder(recorder.name, "train").evidence(), recorder.evidence()
        is_again = is_same_data(first, second)
        if ("second", recorder.name) not in self._told:
            self._told.add(("second", recorder.name))
            kind = "the same images again" if is_again else "validation data"
            words = "stage %s: its second data set is taken for %s; name stages of validation data 'validation ...'"
            logger.info(words, recorder.name, kind)
        return is_again

    def _with_names(self, recorders: list[StageRecorder]) -> tuple[list[StageEvidence], Sequence[str]]:
        """Return the stages and the class names, sorted if found in labels."""
        stages = [(one.evidence(), one.has_names) for one in recorders]
        if not any(has_names for _, has_names in stages):
            return [stage for stage, _ in stages], self.class_names
        numbers = self._names.all()
        names: Sequence[str] = self.class_names or tuple(sorted(numbers))
        # Which name has which index is unknown if other stages have indices, and no caller gave the names.
        is_known = bool(self.class_names) or not any(stage.labels for stage, has_names in stages if not has_names)
        indices = {number: names.index(name) for name, number in numbers.items() if is_known and name in names}
        relabelled = [relabel(stage, indices) if has_names else stage for stage, has_names in stages]
        return relabelled, names if is_known else ()

    def _with_model(self, stages: list[StageEvidence], names: Sequence[str]) -> Evidence:
        names = tuple(printable(str(name)) for name in names)
        num_classes, unreadable = self._num_classes or len(names), len(self.unreadable)
        if self._model is None:
            return Evidence(stages, names, num_classes, unreadable=unreadable)
        from .model_evidence import inspect_model

        found = inspect_model(self._model, stages)
        if self._num_classes == 0 and found.num_classes:
            num_classes = found.num_classes
        return Evidence(stages, names, num_classes, found.expectation, found.predictions, unreadable)
