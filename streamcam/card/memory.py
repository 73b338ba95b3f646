"""Pictures as tensors and tensors as pictures, in the memory where they are: nothing is copied (DLPack).

A picture here is NV12: luma, then Cb and Cr in turn at half the size. What a decoder hands out has lines longer than
the picture is wide, and TensorFlow takes no such gaps; so the whole lines are handed over, and cut in the graph.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import av.error
import numpy as np
from av.video.frame import CudaContext, VideoFrame

from ..cuda import ON_CARD, OTHERWISE, context
from ..engine.devices import tensorflow_name
from ..errors import DeviceError, OutOfMemoryError
from ..geometry import Size
from ..models.backend import tf
from ..models.foreign import reason

_ALIGNED = 64
"""TensorFlow ends the process where a tensor does not begin at a multiple of this many bytes, on any device."""


class _Tensor(ctypes.Structure):
    """``DLTensor`` of DLPack 0.x; ``DLManagedTensor`` begins with one."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


@contextlib.contextmanager
def on(device: str) -> Iterator[None]:
    """Computes on a device, named as by `choose_devices`.

    Raises:
        OutOfMemoryError, DeviceError: it cannot.
    """
    try:
        with tf.device(tensorflow_name(device)):
            yield
    except tf.errors.ResourceExhaustedError as error:
        do = f"use a smaller --batch, or {OTHERWISE}"
        raise OutOfMemoryError(f"{device} has not enough memory for the frames that are under way", do=do) from error
    except tf.errors.OpError as error:
        raise DeviceError(f"{device} failed: {error.message}", do=OTHERWISE) from error
    except (av.error.FFmpegError, ValueError, TypeError, RuntimeError) as error:
        raise DeviceError(f"frames cannot stay on {device}: {reason(error)}", do=OTHERWISE) from error


def tensors_of(picture: VideoFrame) -> tuple[Any, Any]:
    """The planes of a picture as tensors that keep it alive.

    Args:
        picture: NV12 with even sides, on a card or in the processor's memory. Who wrote it must have finished
            (`streamcam.cuda.settle`).

    Returns:
        uint8 luma ``(height, line)`` and chroma ``(height / 2, line / 2, 2)``, on the picture's device; a line is at
        least as long as the picture is wide.

    Raises:
        DeviceError: TensorFlow cannot take it from where it lies on a card.
    """
    luma, chroma = (plane.__dlpack__() for plane in picture.planes)
    for capsule, samples in ((luma, 1), (chroma, 2)):
        tensor = _described(capsule)
        if (tensor.data + tensor.byte_offset) % _ALIGNED:
            if picture.format.name != ON_CARD:
                return _copied(picture)
            raise DeviceError("a picture lies where TensorFlow cannot take it from", do=OTHERWISE)
        tensor.shape[1] = tensor.strides[0] // samples
    return tuple(tf.experimental.dlpack.from_dlpack(capsule) for capsule in (luma, chroma))


def _copied(picture: VideoFrame) -> tuple[Any, Any]:
    luma, chroma = (np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in picture.planes)
    pairs = chroma[:, : picture.width].reshape(picture.height // 2, -1, 2)
    return tf.constant(luma[:, : picture.width]), tf.constant(pairs)


def in_one_piece(luma: Any, chroma: Any, size: Size) -> Any:
    """A picture as one tensor, as `picture_of` and encoders on cards want it; to be used in a graph.

    Args:
        luma: uint8 ``(height, width)``.
        chroma: uint8 ``(height / 2, width / 2, 2)``.
        size: ``(width, height)``.

    Returns:
        uint8 ``(height · 3 / 2, line)``: luma, and below it Cb and Cr in turn; a line is a multiple of 64 long.
    """
    width, height = size
    whole = tf.concat([tf.reshape(luma, (height, width)), tf.reshape(chroma, (height // 2, width))], axis=0)
    return tf.pad(whole, [[0, 0], [0, -width % _ALIGNED]])


def picture_of(whole: Any, width: int, cuda: CudaContext | None) -> VideoFrame:
    """A tensor as a picture that keeps it alive.

    Args:
        whole: as from `in_one_piece`; it is computed to its end on return.
        width: of the picture.
        cuda: as from `cuda_context`, the same for all pictures of a stream; None in the processor's memory.
    """
    # TensorFlow hands tensors out that are still being computed, but none to the processor.
    whole[0, 0].numpy()
    lines, line = whole.shape
    height = lines * 2 // 3
    planes = []
    for first, count in ((0, height), (height, height // 2)):
        capsule = tf.experimental.dlpack.to_dlpack(whole)
        tensor = _described(capsule)
        tensor.shape[0], tensor.shape[1], tensor.strides[0] = count, width, line
        tensor.byte_offset += first * line
        planes.append(capsule)
    if cuda is None:
        return VideoFrame.from_dlpack(planes, "nv12")
    with context(cuda.device_id):
        return VideoFrame.from_dlpack(planes, "nv12", cuda_context=cuda)


def cuda_context(device: str) -> CudaContext | None:
    """What pictures on a card belong to; None for a processor. ``device`` is as from `choose_devices`."""
    kind, _, number = device.partition(":")
    return CudaContext(int(number or 0), primary_ctx=False, current_ctx=True) if kind == "gpu" else None


def _described(capsule: Any) -> _Tensor:
    return _Tensor.from_address(_pointer(capsule, b"dltensor"))
