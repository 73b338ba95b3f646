"""Which layers can be explained, and which one ``--layer auto`` takes, read off the graph that really runs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import LayerError, nearest
from ..geometry import Size
from ..models.backend import tf
from .graph import Call, depends_on, layer_paths, readers_of, recorded
from .head import Head, find_head, tried
from .rasters import Rasters
from .tokens import first_of_picture

_POOLING = ("MaxPool", "AvgPool")
_PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum")
_PREPARING = ("Pad", "PadV2", "MirrorPad", "RealDiv", "Sub", "Rsqrt")
"""Operations of preprocessing and of batch norm's inside: a SavedModel's grids are many enough without them."""

_MORE_THAN_PICTURES = "its first axis holds"

_UNCHANGED = ("Identity", "Cast", "StopGradient", "CheckNumerics")


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A row of `streamcam layers`.

    Attributes:
        path: the layer's name, ``outer/inner`` inside a nested model; accepted by ``--layer``.
        kind: class of the layer.
        shape: of its output without the batch axis; None where it is not fixed.
        grid: rows and columns of its cells, None where it has none; tokens are put back on theirs.
        usable: True where it can be explained: a grid of more than one cell that the logit depends on.
        chosen: True for the one that ``--layer auto`` takes.
        reason: why it is or is not usable, in a few words.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    grid: tuple[int, int] | None
    usable: bool
    chosen: bool
    reason: str

    def stride(self, size: Size) -> tuple[int, int] | None:
        """Input pixels a cell, ``(down, across)``, for an input of ``(width, height)``; None where there is no grid."""
        return (round(size[1] / self.grid[0]), round(size[0] / self.grid[1])) if self.grid else None


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """What a usable layer returned.

    Attributes:
        tensor: ``(N, h, w, K)``, or tokens ``(N, h·w and more, K)``, row by row.
        rows, columns: h and w.
        first: tokens before those of the picture, such as a class token.
        count: N; None where it is not known.
    """

    tensor: Any
    rows: int
    columns: int
    first: int = 0
    count: int | None = None

    @property
    def others(self) -> int:
        """Tokens that are not the picture's, such as a class token."""
        return 0 if self.tensor.shape.rank == 4 else int(self.tensor.shape[1]) - self.rows * self.columns

    def arranged(self, tensor: Any) -> Any:
        """A tensor of the layer's shape as float32 ``(N, h, w, K)``."""
        tensor = tf.cast(tensor, tf.float32)
        if tensor.shape[0] is None:
            # Known only when it runs: it then fails sooner than that pictures get each other's maps.
            tensor = tf.ensure_shape(tensor, (self.count, *tensor.shape[1:]), name="one_row_a_picture")
        if self.tensor.shape.rank == 4:
            return tensor
        cells = tensor[:, self.first : self.first + self.rows * self.columns]
        return tf.reshape(cells, (-1, self.rows, self.columns, tensor.shape[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What one traced call of a model showed.

    Attributes:
        head: its logits and probabilities.
        rows: a row for every layer that returned a tensor, in the order of the calls.
        grids: the output of every usable layer, by path.
        own: the precision that most of its products are in, such as ``bfloat16``, where they are not all in float32;
            empty where they are.
    """

    head: Head
    rows: tuple[LayerInfo, ...]
    grids: dict[str, Grid]
    own: str


@dataclass(slots=True, eq=False)
class _Found:
    """An output of a layer on its way to a row."""

    path: str
    kind: str
    tensor: Any
    grid: Grid | None = None
    reason: str = ""


def survey(model: Any, call: Callable[[Any], Any], pictures: Any) -> Survey:
    """Runs a model once on symbolic pictures and tells what every layer is good for.

    Args:
        model: a Keras model.
        call: runs it on pictures.
        pictures: symbolic model input, ``(N, H, W, 3)``; call this while a graph is being built.

    Raises:
        ModelError: the model's output is not a classifier's.
    """
    paths = layer_paths(model)
    first = len(pictures.graph.get_operations())
    with recorded(paths) as calls:
        output = call(pictures)
    own = pictures.graph.get_operations()[first:]
    head = find_head(output, lambda: tried(model, call, pictures))
    before, after = depends_on(head.logits), readers_of(pictures)
    rasters = Rasters(pictures, after)
    found = [
        _Found(path, type(paths[one.path]).__name__, one.output)
        for path, one in _named(calls)
        if tf.is_tensor(one.output)
    ]
    found += _hidden(calls, own, first, before & after, rasters)
    pictured: list[tuple[int, int]] = []
    for one in found:
        _judge(one, pictures, before, after, rasters, pictured)
    chosen = _chosen(found, pictures, head.logits, after, rasters)
    rows = tuple(
        LayerInfo(
            path=one.path,
            kind=one.kind,
            shape=tuple(one.tensor.shape[1:]),
            grid=(one.grid.rows, one.grid.columns) if one.grid else None,
            usable=one.grid is not None,
            chosen=one is chosen,
            reason=_why(one) if one is chosen else one.reason,
        )
        for one in found
    )
    grids = {one.path: one.grid for one in found if one.grid is not None}
    return Survey(head, rows, grids, _own_precision(pictures.graph, before & after))


def _own_precision(graph: Any, between: set[str]) -> str:
    products = (one.outputs[0] for one in graph.get_operations() if one.type in _PRODUCTS)
    kinds = Counter(str(one.dtype.name) for one in products if one.dtype.is_floating and one.name in between)
    return kinds.most_common(1)[0][0] if kinds.keys() - {"float32"} else ""


def _named(calls: list[Call]) -> list[tuple[str, Call]]:
    """Each call by a name of its own: the last of a shared layer by its path, those before as ``path#1`` …"""
    times = Counter(call.path for call in calls)
    seen: Counter[str] = Counter()
    named = []
    for call in calls:
        seen[call.path] += 1
        last = seen[call.path] == times[call.path]
        named.append((call.path if last else f"{call.path}#{seen[call.path]}", call))
    return named


def _hidden(calls: list[Call], own: list[Any], first: int, between: set[str], rasters: Rasters) -> list[_Found]:
    """Grids that no layer returns.

    A ``call`` written in Python may compute on behind its last layer, with a ReLU of its own say: the last such grid
    goes by its operation, ``relu``. Operations inside a layer that calls no other are that layer's affair. A model
    without layers (a SavedModel) has all its grids here, by the names of their operations: the model's own, numbered
    from ``first`` on, since what makes the pictures is another thing in every pass of a method of many.
    """
    grids = [
        (number, operation)
        for number, operation in enumerate(own, first)
        if operation.type not in (*_UNCHANGED, "Placeholder")
        and len(operation.outputs) == 1
        and operation.outputs[0].name in between
        and operation.outputs[0].dtype.is_floating
        and operation.outputs[0] in rasters
    ]
    if not calls:
        names = [operation.name.split("/") for _, operation in grids]
        folders = zip(*(name[:-1] for name in names), strict=False)
        shared = sum(itertools.takewhile(bool, (len(set(parts)) == 1 for parts in folders)))
        return [
            _Found("/".join(name[shared:]), operation.type, operation.outputs[0])
            for name, (_, operation) in zip(names, grids, strict=True)
            if operation.type not in _PREPARING
        ]
    returned = {call.output.name for call in calls if tf.is_tensor(call.output)}
    leaves = [one for one in calls if not any(one.holds(other) for other in calls)]
    inside = {number for leaf in leaves for number in range(leaf.first, leaf.last)}
    for number, operation in reversed(grids):
        if operation.type in _POOLING:
            continue
        if number in inside or operation.outputs[0].name in returned:
            break
        path = operation.type.lower()
        while any(call.path == path for call in calls):
            path += "'"
        return [_Found(path, operation.type, operation.outputs[0])]
    return []


def _judge(
    one: _Found,
    pictures: Any,
    before: set[str],
    after: set[str],
    rasters: Rasters,
    pictured: list[tuple[int, int]],
) -> None:
    tensor = one.tensor
    if tensor.graph is not pictures.graph:
        one.reason = "runs inside a function of its own"
    elif tensor.name not in after:
        one.reason = "does not depend on the picture"
    elif tensor.shape.rank not in (3, 4):
        one.reason = "no grid: after the pooling" if tensor.shape.rank == 2 else "no grid"
    elif None in tensor.shape[1:]:
        one.reason = "no fixed size"
    elif (told := _first_axis(tensor, pictures)) is not None:
        one.reason = told
        return
    elif tensor.shape.rank == 3:
        _judge_tokens(one, before, after, pictured, pictures.shape[0])
    elif tensor.shape[1] == 1 and tensor.shape[2] == 1:
        one.reason = "a single cell: after the pooling"
    elif tensor.name not in before:
        one.reason = "the logits do not depend on it"
    else:
        one.grid = Grid(tensor, tensor.shape[1], tensor.shape[2], count=pictures.shape[0])
    if tensor in rasters:
        pictured.append((tensor.shape[1], tensor.shape[2]))


def _first_axis(tensor: Any, pictures: Any) -> str | None:
    """What is there instead of the pictures, if anything: rows of it would be taken for those of other pictures."""
    held, count = tensor.shape[0], pictures.shape[0]
    if held is None or count is None or held == count:
        return None
    if held % count:
        return f"{_MORE_THAN_PICTURES} {held} for {count} pictures"
    return f"{_MORE_THAN_PICTURES} {held // count} for each picture: crops, views or windows of it"


def _judge_tokens(
    one: _Found, before: set[str], after: set[str], pictured: list[tuple[int, int]], count: int | None
) -> None:
    """Tokens are put back on the last grid before them that has as many cells, but for a few others.

    Those lie in front, unless the graph shows where they were added.
    """
    tokens = one.tensor.shape[1]
    for others in (0, 1, 2, 5):
        for rows, columns in reversed(pictured):
            if rows * columns + others == tokens:
                if one.tensor.name not in before:
                    one.reason = "the logits do not depend on it"
                    return
                first = first_of_picture(one.tensor, rows * columns, after)
                one.grid = Grid(one.tensor, rows, columns, others if first is None else first, count)
                return
    one.reason = f"{tokens} tokens, and no grid before them has as many cells"


def _chosen(found: list[_Found], pictures: Any, logits: Any, after: set[str], rasters: Rasters) -> _Found | None:
    """The last candidate that is no pooling; of layers that return one and the same tensor, the first."""
    candidates = [
        one
        for one in found
        if one.grid is not None
        and one.tensor.op.type not in _POOLING
        and (one.tensor.shape.rank == 3 or one.tensor in rasters)
    ]
    if any(one.reason.startswith(_MORE_THAN_PICTURES) for one in found):
        # A grid of one view of several, such as the mirror image, is not what the model sees of the picture; nor is
        # what lies before the first product.
        learned = _learned(logits.graph, after)
        candidates = [
            one for one in candidates if one.tensor.name in learned and _sees_all(one.tensor, pictures, logits)
        ]
    if any(one.grid is not None and one.grid.others for one in candidates):
        # Read out through a class token: behind the last attention the picture's tokens lead nowhere.
        attended = _before_last_attention(logits)
        candidates = [one for one in candidates if not attended or one.tensor.name in attended]
    if not candidates:
        return None
    last = candidates[-1].tensor.name
    return next(one for one in candidates if one.tensor.name == last)


def _learned(graph: Any, after: set[str]) -> set[str]:
    """Names of the tensors behind the first products with the pictures."""
    found: set[str] = set()
    for operation in graph.get_operations():
        outputs = {tensor.name for tensor in operation.outputs}
        if not outputs.isdisjoint(after) and (
            operation.type in _PRODUCTS or any(tensor.name in found for tensor in operation.inputs)
        ):
            found |= outputs
    return found


def _sees_all(grid: Any, pictures: Any, logits: Any) -> bool:
    """True where nothing gets from the pictures to the logits but through a grid."""
    seen = {grid.name}
    waiting = [logits]
    while waiting:
        tensor = waiting.pop()
        if tensor is pictures:
            return False
        if tensor.name not in seen and tensor.dtype.is_floating:  # sizes of pictures are none of their content
            seen.add(tensor.name)
            waiting.extend(tensor.op.inputs)
    return True


def _before_last_attention(logits: Any) -> set[str]:
    needed = depends_on(logits)
    for operation in reversed(logits.graph.get_operations()):
        if operation.type == "Softmax" and operation.outputs[0].name in needed:
            shape = operation.outputs[0].shape
            if shape.rank is not None and shape.rank >= 3 and shape[-1] == shape[-2]:
                return depends_on(operation.outputs[0])
    return set()


def _why(one: _Found) -> str:
    if one.grid is not None and one.tensor.shape.rank == 3:
        return "auto: the last tokens that still meet, put back on their grid"
    return "auto: the last grid before pooling"


def choose_layer(name: str, rows: tuple[LayerInfo, ...]) -> str:
    """The path of the target layer: the one that was named, or the one for ``auto``.

    Raises:
        LayerError: no such layer, or it cannot be explained; says why.
    """
    by_path = {row.path: row for row in rows}
    if name == "auto":
        for row in rows:
            if row.chosen:
                return row.path
        crowded = [row for row in rows if row.reason.startswith(_MORE_THAN_PICTURES)]
        raise LayerError(
            "the model has no layer whose output is a grid (N, h, w, channels) that its logits depend on"
            + (f"; of {crowded[-1].path} {crowded[-1].reason}" if crowded else ""),
            wanted="a convolutional classifier",
            do="use a method that needs no layer, such as saliency or occlusion",
        )
    if name not in by_path:
        raise LayerError(
            f"the model has no layer {name!r}", do=nearest(name, by_path) or "streamcam layers MODEL lists them"
        )
    if not by_path[name].usable:
        raise LayerError(
            f"layer {name!r} cannot be explained: {by_path[name].reason}",
            wanted="a grid (N, h, w, channels) before the pooling that the logit depends on",
            do="streamcam layers MODEL lists them",
        )
    return name
