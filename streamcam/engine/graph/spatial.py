"""Find the tensors that are feature maps: four axes, of which two are rows and columns of the image.

Convolution, pooling and resizing keep rows and columns at any shape: a 16:9 image may be resized to a square
inside the model. After an operation that rearranges axes (tokens and heads of attention), only the shape remains: a
tensor counts as a feature map again if its sides are those of an earlier feature map, or have the aspect ratio of the
image.
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
"""Largest ratio between the sides of a position: strides round up, and unpadded convolutions lose an edge."""


class SpatialTensors:
    """The feature maps of a graph; supports ``tensor in spatial``.

    Args:
        images: symbolic model input ``(N, H, W, 3)``, after the model was traced.
        after: names of all tensors computed from the images.
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
        """Return True for a feature map of more than one position."""
        if tensor.shape.rank != 4 or None in tensor.shape[1:] or tensor.shape[1] * tensor.shape[2] <= 1:
            return False
        return (tensor.graph is self._graph and tensor.name in self._names) or self._has_known_shape(tensor)

    def _add(self, operation: Any, output: Any) -> None:
        if _spatial_shape(output) == (1, 1):
            return  # globally pooled values may be broadcast to any shape afterwards
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
    """Return True if an operation keeps rows and columns."""
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
