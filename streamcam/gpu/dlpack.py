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

from ..engine.runtime.devices import tensorflow_name
from ..errors import DeviceError, OutOfMemoryError, error_summary
from ..geometry import Size
from ..media.cuda import FALLBACK_HINT, CUDA_FORMAT, context
from ..tf import tf

_ALIGNMENT_BYTES = 64
"""TensorFlow ends the process where a tensor does not begin at a multiple of this many bytes, on any device."""


class _DLTensor(ctypes.Structure):
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


_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """Computes on a device, named as by `choose_devices`.

    Raises:
        OutOfMemoryError, DeviceError: it cannot.
    """
    try:
        with tf.device(tensorflow_name(device)):
            yield
    except tf.errors.ResourceExhaustedError as error:
        hint = f"use a smaller --batch, or {FALLBACK_HINT}"
        raise OutOfMemoryError(
            f"{device} has not enough memory for the frames that are under way", hint=hint
        ) from error
    except tf.errors.OpError as error:
        raise DeviceError(f"{device} failed: {error.message}", hint=FALLBACK_HINT) from error
    except (av.error.FFmpegError, ValueError, TypeError, RuntimeError) as error:
        raise DeviceError(f"frames cannot stay on {device}: {error_summary(error)}", hint=FALLBACK_HINT) from error


def to_tensors(video_frame: VideoFrame) -> tuple[Any, Any]:
    """The planes of a picture as tensors that keep it alive.

    Args:
        video_frame: NV12 with even sides, on a card or in the processor's memory. Who wrote it must have finished
            (`streamcam.media.cuda.settle`).

    Returns:
        uint8 luma ``(height, line)`` and chroma ``(height / 2, line / 2, 2)``, on the picture's device; a line is at
        least as long as the picture is wide.

    Raises:
        DeviceError: TensorFlow cannot take it from where it lies on a card.
    """
    luma, chroma = (plane.__dlpack__() for plane in video_frame.planes)
    for capsule, samples in ((luma, 1), (chroma, 2)):
        tensor = _dl_tensor(capsule)
        if (tensor.data + tensor.byte_offset) % _ALIGNMENT_BYTES:
            if video_frame.format.name != CUDA_FORMAT:
                return _copy_to_tensors(video_frame)
            raise DeviceError("a picture lies where TensorFlow cannot take it from", hint=FALLBACK_HINT)
        tensor.shape[1] = tensor.strides[0] // samples
    return tuple(tf.experimental.dlpack.from_dlpack(capsule) for capsule in (luma, chroma))


def _copy_to_tensors(video_frame: VideoFrame) -> tuple[Any, Any]:
    luma, chroma = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in video_frame.planes
    )
    pairs = chroma[:, : video_frame.width].reshape(video_frame.height // 2, -1, 2)
    return tf.constant(luma[:, : video_frame.width]), tf.constant(pairs)


def pack_nv12(luma: Any, chroma: Any, size: Size) -> Any:
    """A picture as one tensor, as `to_video_frame` and encoders on cards want it; to be used in a graph.

    Args:
        luma: uint8 ``(height, width)``.
        chroma: uint8 ``(height / 2, width / 2, 2)``.
        size: ``(width, height)``.

    Returns:
        uint8 ``(height · 3 / 2, line)``: luma, and below it Cb and Cr in turn; a line is a multiple of 64 long.
    """
    width, height = size
    nv12 = tf.concat([tf.reshape(luma, (height, width)), tf.reshape(chroma, (height // 2, width))], axis=0)
    return tf.pad(nv12, [[0, 0], [0, -width % _ALIGNMENT_BYTES]])


def to_video_frame(nv12: Any, width: int, cuda: CudaContext | None) -> VideoFrame:
    """A tensor as a picture that keeps it alive.

    Args:
        nv12: as from `pack_nv12`; it is computed to its end on return.
        width: of the picture.
        cuda: as from `cuda_context`, the same for all pictures of a stream; None in the processor's memory.
    """
    # TensorFlow hands tensors out that are still being computed, but none to the processor.
    nv12[0, 0].numpy()
    lines, line = nv12.shape
    height = lines * 2 // 3
    planes = []
    for first, count in ((0, height), (height, height // 2)):
        capsule = tf.experimental.dlpack.to_dlpack(nv12)
        tensor = _dl_tensor(capsule)
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


def _dl_tensor(capsule: Any) -> _DLTensor:
    return _DLTensor.from_address(_get_pointer(capsule, b"dltensor"))
