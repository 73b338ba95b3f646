"""Deletion and insertion areas of every method, beside chance and the middle: ``make bench-faithfulness``.

Petsiuk, Das, Saenko, "RISE", BMVC 2018, arXiv:1806.07421: pixels are taken away (replaced by the image's mean colour)
or put in (into a blurred image) in the order of a map, the most important first. The area under the curve of the
probability of the class is small where a map deletes what matters, and large where it inserts that.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import av
import cv2
import numpy as np
from common import REPOSITORY, log_progress, machine_summary, table, write_section
from numpy.typing import NDArray
from PIL import Image

import streamcam
from streamcam.geometry import Geometry
from streamcam.methods import METHODS

SIDE = 224
STEPS = 28
BLUR = 10.0
"""Standard deviation of the blur, in pixels of 224."""
RANDOM = 3
"""Random maps that are averaged over."""
CLIPS = {"samoyed_640_nogps.mp4": (258, 5), "cockatoo.mp4": (89, 8)}
"""Class, and how many frames are taken."""
IMAGES = {"chelsea.png": 285, "coffee.png": 967}
MIN_PROBABILITY = 0.3
CHANCE, MIDDLE = "random", "Gaussian in the middle"


def main() -> None:
    """Scores everything and write the section."""
    images, classes, names = samples()
    areas: dict[str, list[tuple[float, float]]] = {}
    for method in METHODS:
        log_progress(method)
        areas[method] = [
            score(image, ranking(method, image, target), target) for image, target in zip(images, classes, strict=True)
        ]
    rng = np.random.default_rng(0)
    chance = [
        [score(image, rng.random((SIDE, SIDE)), target) for _ in range(RANDOM)]
        for image, target in zip(images, classes, strict=True)
    ]
    areas[CHANCE] = [tuple(np.mean(runs, axis=0)) for runs in chance]  # type: ignore[misc]
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    middle = np.exp(-(rows**2 + columns**2) / (2 * (SIDE / 4) ** 2))
    areas[MIDDLE] = [score(image, middle, target) for image, target in zip(images, classes, strict=True)]
    write_section("faithfulness", report(areas, names))


def samples() -> tuple[list[NDArray[np.uint8]], list[int], list[str]]:
    """Images of 224×224 in which the model finds their class."""
    found = []
    for name, target in IMAGES.items():
        found.append((np.asarray(Image.open(REPOSITORY / "samples" / name).convert("RGB")), target, name))
    for name, (target, count) in CLIPS.items():
        with av.open(str(REPOSITORY / "samples" / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        seen = frames_of_class(frames, target)
        chosen = [seen[n] for n in np.linspace(0, len(seen) - 1, min(count, len(seen))).astype(int)]
        found += [(frames[n], target, name) for n in chosen]
    images = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image, _, _ in found]
    return images, [target for _, target, _ in found], [name for _, _, name in found]


CLASSES = [*IMAGES.values(), *(target for target, _ in CLIPS.values())]
_EXPLAINERS: dict[str, streamcam.Explainer] = {}


def explain(method: str, images: Any, target: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return maps and probabilities for a class."""
    if method not in _EXPLAINERS:
        _EXPLAINERS[method] = streamcam.Explainer(method=method, target=CLASSES, fit="stretch", precision="float32")
    found = _EXPLAINERS[method].explain(images)
    return found.maps[:, CLASSES.index(target)], found.probabilities[:, CLASSES.index(target)]


def probabilities(images: NDArray[np.uint8], target: int) -> NDArray[np.float32]:
    """Return the probabilities of a class, by the cheapest method."""
    return explain("activations", images, target)[1]


def frames_of_class(frames: list[NDArray[np.uint8]], target: int) -> list[int]:
    """Every eighth frame on which the class is more probable than not."""
    numbers = list(range(0, len(frames), 8))
    small = np.stack([cv2.resize(frames[n], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for n in numbers])
    return [
        n for n, probability in zip(numbers, probabilities(small, target), strict=True) if probability > MIN_PROBABILITY
    ]


def ranking(method: str, image: NDArray[np.uint8], target: int) -> NDArray[np.float64]:
    """Upsample a map to the image (half-pixel bilinear); signed maps rank positive values first."""
    heatmap = explain(method, image, target)[0][0]
    rows, columns = Geometry((SIDE, SIDE), (SIDE, SIDE), (SIDE, SIDE)).upsample_matrices(heatmap.shape[::-1])
    return np.asarray(rows @ heatmap @ columns.T, np.float64)


def score(image: NDArray[np.uint8], importance: NDArray[Any], target: int) -> tuple[float, float]:
    """Return deletion and insertion area, 0–1, by trapezoids."""
    order = np.argsort(-importance.ravel(), kind="stable")
    flat = image.reshape(-1, 3)
    grey = np.broadcast_to(np.rint(flat.mean(0)).astype(np.uint8), flat.shape)
    blurred = cv2.GaussianBlur(image, (0, 0), BLUR).reshape(-1, 3)
    curves = []
    for start, end in ((flat, grey), (blurred, flat)):
        stages = []
        for step in range(STEPS + 1):
            now = start.copy()
            changed = order[: round(step / STEPS * len(order))]
            now[changed] = end[changed]
            stages.append(now.reshape(image.shape))
        curves.append(probabilities(np.stack(stages), target))
    deletion, insertion = (float(np.trapezoid(curve, dx=1 / STEPS)) for curve in curves)
    return deletion, insertion


def report(areas: dict[str, list[tuple[float, float]]], names: list[str]) -> str:
    """Format the table, the best method first."""
    gains = {method: [insertion - deletion for deletion, insertion in found] for method, found in areas.items()}
    rows = []
    for method in sorted(areas, key=lambda method: -statistics.fmean(gains[method])):
        deletions, insertions = zip(*areas[method], strict=True)
        better = [
            sum(gain > other for gain, other in zip(gains[method], gains[rival], strict=True))
            for rival in (CHANCE, MIDDLE)
        ]
        values = (deletions, insertions, gains[method])
        columns = (f"{statistics.fmean(value):.3f} ± {statistics.pstdev(value):.3f}" for value in values)
        rows.append([method, *columns, *(f"{count} of {len(names)}" for count in better)])
    head = ["method", "deletion ↓", "insertion ↑", "insertion − deletion", "beats random", "beats the middle"]
    counted = ", ".join(f"{names.count(name)} of {name}" for name in dict.fromkeys(names))
    return f"""## Faithfulness

Areas under the curves of deletion (to the mean colour; small is good) and insertion (into a blur of {BLUR:g} pixels;
large is good), {STEPS} steps, embedded model, 224×224, mean ± standard deviation over {len(names)} images
({counted}). The random map is the mean of {RANDOM}; the Gaussian in the
middle has a standard deviation of a quarter of the side: the objects of these samples lie there. Made by
`make bench-faithfulness`; no figure depends on the machine's speed.

Machine: {machine_summary()}.

{table(head, rows)}"""


if __name__ == "__main__":
    sys.exit(main())
