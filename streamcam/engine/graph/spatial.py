"""Which tensors lie in rows and columns of the picture, and which have four axes for another reason.

What convolutions, poolings, resizing and the like make of rows and columns are rows and columns, whatever their shape:
a picture of 16:9 may be resized to a square on its way. Only where axes are rearranged (tokens and heads of attention)
nothing but the shape can tell: rows and columns are back where their sides are those of a grid before, or in the
proportion of the picture.
"""

from __future__ import annotations

from typing import Any

_AXIS_CHANGING = frozenset(
    (
        *("Reshape", "Transpose", "GatherV2", "GatherNd"),
        *("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"),
        *("PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "Case", "While", "StatelessWhile"),
    )
)
_REDUCING = frozenset(("Mean", "Sum", "Max", "Min", "Prod"))
_RESIZING = ("Resize", "CropAndResize", "ScaleAndTranslate", "ImageProjectiveTransform")
_ASPECT_TOLERANCE = 1.5
"""How much the sides of cells may differ: strides round up, and convolutions without padding lose an edge."""


class SpatialTensors:
    """The grids of a graph.

    Args:
        images: the model's input ``(N, H, W, 3)`` in a graph in which the model has run.
        after: names of all tensors that are computed from them.
    """

    def __init__(self, images: Any, after: set[str]) -> None:
        self._graph = images.graph
        self._names = {images.name}
        self._shapes = {_spatial_shape(images)}
        self._aspect_shapes = [_spatial_shape(images)]
        for operation in images.graph.get_operations():
            if any(tensor.name in self._names for tensor in operation.inputs):
                for output in operation.outputs:
                    if output.shape.rank == 4 and (_keeps_spatial_axes(operation, output) or output in self):
                        self._add(operation, output)
            elif operation.type in _AXIS_CHANGING:
                self._names.update(
                    output.name
                    for output in operation.outputs
                    if output.name in after and self._has_known_shape(output)
                )

    def __contains__(self, tensor: Any) -> bool:
        """True for rows and columns of the picture, more than one cell of them."""
        if tensor.shape.rank != 4 or None in tensor.shape[1:] or tensor.shape[1] * tensor.shape[2] <= 1:
            return False
        return (tensor.graph is self._graph and tensor.name in self._names) or self._has_known_shape(tensor)

    def _add(self, operation: Any, output: Any) -> None:
        if _spatial_shape(output) == (1, 1):
            return  # what is pooled over the whole picture is spread over anything afterwards
        self._names.add(output.name)
        self._shapes.add(_spatial_shape(output))
        if operation.type.startswith(_RESIZING):
            self._aspect_shapes.append(_spatial_shape(output))

    def _has_known_shape(self, tensor: Any) -> bool:
        if tensor.shape.rank != 4 or None in tensor.shape[1:] or tensor.shape[1] * tensor.shape[2] <= 1:
            return False
        return _spatial_shape(tensor) in self._shapes or any(
            _has_same_aspect(_spatial_shape(tensor), whole) for whole in self._aspect_shapes
        )


def _spatial_shape(tensor: Any) -> tuple[int | None, int | None]:
    return tensor.shape[1], tensor.shape[2]


def _keeps_spatial_axes(operation: Any, output: Any) -> bool:
    """True where an operation leaves rows rows and columns columns."""
    if operation.type in _REDUCING:
        return _spatial_shape(operation.inputs[0]) == _spatial_shape(output)
    if operation.type == "StridedSlice":
        return not (operation.get_attr("new_axis_mask") or operation.get_attr("shrink_axis_mask"))
    return operation.type not in _AXIS_CHANGING


def _has_same_aspect(shape: tuple[Any, Any], whole: tuple[int | None, int | None]) -> bool:
    if whole[0] is None or whole[1] is None:
        return False
    down, across = whole[0] / shape[0], whole[1] / shape[1]
    return bool(min(down, across) >= 1 and max(down, across) <= _ASPECT_TOLERANCE * min(down, across))
