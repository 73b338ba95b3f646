"""Result types of the layer survey: a `LayerInfo` for every layer, a `FeatureMap` for every usable one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...geometry import Size
from ...tf import tf


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A row of `streamcam layers`.

    Attributes:
        path: the layer's name, ``outer/inner`` inside a nested model; accepted by ``--layer``.
        kind: class of the layer.
        shape: output shape without the batch axis; None for a length that is not fixed.
        spatial_shape: rows and columns of its feature map, also of tokens; None if it has none.
        usable: True if the layer can be explained: a feature map of more than one position that the logits depend on.
        chosen: True for the layer that ``--layer auto`` selects.
        reason: why the layer is or is not usable, in a few words.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    spatial_shape: tuple[int, int] | None
    usable: bool
    chosen: bool
    reason: str

    def stride(self, size: Size) -> tuple[int, int] | None:
        """Return the input pixels per position, ``(vertical, horizontal)``; None without a feature map.

        Args:
            size: ``(width, height)`` of the model input.
        """
        return (
            (round(size[1] / self.spatial_shape[0]), round(size[0] / self.spatial_shape[1]))
            if self.spatial_shape
            else None
        )


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """The output of a usable layer.

    Attributes:
        tensor: ``(N, h, w, K)``, or tokens ``(N, h·w + extra tokens, K)`` in row-major order.
        rows: h.
        columns: w.
        token_offset: number of tokens before the patch tokens, such as a class token.
        batch_size: N; None if it is not known.
    """

    tensor: Any
    rows: int
    columns: int
    token_offset: int = 0
    batch_size: int | None = None

    @property
    def num_extra_tokens(self) -> int:
        """Number of tokens that are no patches, such as a class token."""
        return 0 if self.tensor.shape.rank == 4 else int(self.tensor.shape[1]) - self.rows * self.columns

    def to_nhwc(self, tensor: Any) -> Any:
        """Return a tensor as float32 ``(N, h, w, K)``, without extra tokens.

        Args:
            tensor: a tensor of the shape of the layer output, such as its gradient.
        """
        tensor = tf.cast(tensor, tf.float32)
        if tensor.shape[0] is None:
            # Checked at run time: an error is better than maps assigned to the wrong images.
            tensor = tf.ensure_shape(tensor, (self.batch_size, *tensor.shape[1:]), name="one_row_per_image")
        if self.tensor.shape.rank == 4:
            return tensor
        patches = tensor[:, self.token_offset : self.token_offset + self.rows * self.columns]
        return tf.reshape(patches, (-1, self.rows, self.columns, tensor.shape[2]))


@dataclass(slots=True, eq=False)
class LayerOutput:
    """A tensor under survey; `survey_layers` fills in its feature map and reason."""

    path: str
    kind: str
    tensor: Any
    feature_map: FeatureMap | None = None
    reason: str = ""
