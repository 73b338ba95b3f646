"""Eigen-CAM.

Muhammad, Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020,
arXiv:2008.00299.

    A = U Σ Vᵀ          the layer's output as positions × channels
    L = ReLU(A v₁)      v₁: first right singular vector

It needs no class. The sign of a singular vector is arbitrary: the map takes the sign with which it sums to zero or
more, the same rule for every frame, so that it does not flip between frames.

``A v₁ = σ₁ u₁``, and ``u₁`` is the first eigenvector of ``A Aᵀ`` (or ``v₁`` that of ``Aᵀ A``: the smaller matrix is
used). Squaring that matrix repeatedly finds it in a fraction of the time of a decomposition.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor

_SQUARINGS = 5
_PRODUCTS = 8
"""Together the 256th power: of a second singular value of 0.98 times the first, 3·10⁻⁵ remains."""


def eigencam(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, h, w)``, ≥ 0, in units of activations."""
    activations = context.activations
    height, width, channels = activations.shape[1:]
    matrix = tf.reshape(activations, (-1, height * width, channels))
    # From here on no value exceeds 1, so that no power overflows.
    size = tf.reduce_max(tf.abs(matrix), axis=(1, 2), keepdims=True)
    matrix = tf.math.divide_no_nan(matrix, size)
    by_position = height * width <= channels
    power = _divide_by_max(tf.matmul(matrix, matrix, transpose_b=by_position, transpose_a=not by_position))
    gram = power
    for _ in range(_SQUARINGS):
        power = _divide_by_max(tf.matmul(power, power))
    # The first eigenvector surely has a component in the column of the largest diagonal element.
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
