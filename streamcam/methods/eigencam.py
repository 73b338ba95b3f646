"""Eigen-CAM: Muhammad, Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020,
arXiv:2008.00299.

    A = U Σ Vᵀ          the layer's output as cells × channels
    L = ReLU(A v₁)      v₁: first right singular vector

It asks for no class. A singular vector has no sign of its own: the one is taken with which the map sums to zero or
more, the same for every frame, so that it cannot flip between frames.

``A v₁ = σ₁ u₁``, and ``u₁`` is the first eigenvector of ``A Aᵀ`` (or, by way of the channels, of ``Aᵀ A``, whichever
is smaller). It is found by squaring that matrix, which takes a fraction of the time of a decomposition.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor

_SQUARINGS = 5
_PRODUCTS = 8
"""Together the 256th power: a second singular value of 0.98 of the first has 3·10⁻⁵ of its part left."""


def eigencam(context: MethodContext) -> Tensor:
    """Maps float32 ``(N, h, w)``, ≥ 0, in units of activations."""
    activations = context.activations
    height, width, channels = activations.shape[1:]
    matrix = tf.reshape(activations, (-1, height * width, channels))
    # Nothing is larger than 1 from here on, so that no power overflows.
    size = tf.reduce_max(tf.abs(matrix), axis=(1, 2), keepdims=True)
    matrix = tf.math.divide_no_nan(matrix, size)
    by_position = height * width <= channels
    power = _divide_by_max(tf.matmul(matrix, matrix, transpose_b=by_position, transpose_a=not by_position))
    gram = power
    for _ in range(_SQUARINGS):
        power = _divide_by_max(tf.matmul(power, power))
    # The column of the largest diagonal element is the one that the first eigenvector surely has a part in.
    start = tf.argmax(tf.linalg.diag_part(gram), axis=1)
    vector = tf.gather(power, start, axis=2, batch_dims=1)[:, :, None]
    for _ in range(_PRODUCTS):
        vector = _divide_by_max(tf.matmul(power, vector))
    if by_position:
        unit = tf.math.l2_normalize(vector, axis=1, epsilon=0.0)
        unit = tf.where(tf.reduce_any(tf.not_equal(vector, 0.0), axis=1, keepdims=True), unit, 0.0)
        projected = tf.matmul(matrix, tf.matmul(matrix, unit, transpose_a=True))
        projected = unit * tf.sqrt(tf.reduce_sum(projected * unit, axis=1, keepdims=True))
    else:
        projected = tf.matmul(matrix, tf.math.divide_no_nan(vector, tf.norm(vector, axis=1, keepdims=True)))
    projected = projected[:, :, 0] * size[:, :, 0]
    sign = tf.where(tf.reduce_sum(projected, axis=1, keepdims=True) < 0, -1.0, 1.0)
    return tf.nn.relu(tf.reshape(projected * sign, (-1, height, width)))


def _divide_by_max(matrix: Tensor) -> Tensor:
    return tf.math.divide_no_nan(matrix, tf.reduce_max(tf.abs(matrix), axis=(1, 2), keepdims=True))
