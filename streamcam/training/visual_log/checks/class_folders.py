"""``label-shift`` by the folders of files: each folder names a class."""

from __future__ import annotations

from pathlib import PurePath

from ....errors import count_of
from ..evidence import Evidence, Fault, StageEvidence
from .common import class_name

REMEDY = "check how images and labels are joined, and in which order classes are numbered"
_MIN_CHANGED = 0.05


def labels_against_folders(stage: StageEvidence, evidence: Evidence) -> Fault | None:
    """Find images whose label is not the class that their folder names."""
    names = [str(name) for name in evidence.class_names]
    if not names:
        folders = sorted({PurePath(one.path).parent.name for one in stage.records if one.path})
        names = folders if len(folders) > 1 else []
    labelled = [
        (record, names.index(folder))
        for record in stage.records
        if record.label is not None and record.path and (folder := PurePath(record.path).parent.name) in names
    ]
    wrong = [record for record, own in labelled if record.label != own]
    new = {own: record.label for record, own in labelled}
    is_joined = len({(own, record.label) for record, own in labelled}) == len(new) > len(set(new.values()))
    if is_joined or len(labelled) < 4 or len(wrong) < max(2, _MIN_CHANGED * len(labelled)):
        return None
    first = wrong[0]
    return Fault(
        "label-shift",
        stage.name,
        f"{count_of(len(wrong), 'image')} of {len(labelled)} have another label than their folder, such as "
        f"{'/'.join(PurePath(first.path).parts[-2:])} with {class_name(evidence, int(first.label or 0))}; {REMEDY}",
        len(wrong),
        tuple(record.index for record in wrong),
    )


def folders_that_differ(evidence: Evidence) -> Fault | None:
    """Find validation folders whose classes have other numbers in training.

    Keras numbers the subfolders of each folder on its own, in alphabetical order.
    """
    stages = [chain[0] for chain in evidence.chains(references=True)]
    if len(stages) < 2:
        return None
    validation = stages[1]
    own, other = (_class_folders(stage) for stage in stages)
    if set(own) <= set(map(str, evidence.class_names)):
        own = sorted(map(str, evidence.class_names))
    foreign = [name for name in other if name not in own]
    if not own or not other or (foreign and len(other) == 1):
        return None  # images without classes, in a folder of any name
    moved = [name for number, name in enumerate(other) if name in own and own.index(name) != number]
    count = sum(_class_folder(record.path) in (*foreign, *moved) for record in validation.records)
    if foreign:
        words = f"the training data has no class folder {foreign[0]}"
    elif moved:
        missing = next(name for name in own if name not in other)
        words = (
            f"no image is in a class folder {missing}: Keras numbers the folders of each data set on its own, so that "
            f"{moved[0]} is {other.index(moved[0])} here and {own.index(moved[0])} in the training data"
        )
    else:
        return None
    remedy = "create the same folders in both, or give both the same class_names"
    return Fault("label-shift", validation.name, f"{words}; {remedy}", count)


def _class_folders(stage: StageEvidence) -> list[str]:
    if any(record.label is None for record in stage.records):
        return []
    return sorted({folder for record in stage.records if (folder := _class_folder(record.path))})


def _class_folder(path: str) -> str:
    """Return the first folder of a relative path; empty if there is none."""
    parts = PurePath(path).parts
    return parts[0] if len(parts) > 1 and not PurePath(path).is_absolute() else ""
