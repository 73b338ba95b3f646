"""Convert video frames to tensors and back without a copy (DLPack).

Frames are NV12: luma, then interleaved Cb and Cr at half the size. A decoder's lines are longer than the frame is wide,
and TensorFlow accepts no strides; so the tensors hold whole lines, and the graph crops them.
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
from ..media.cuda import CUDA_FORMAT, FALLBACK_HINT, context
from ..tf import tf

_ALIGNMENT_BYTES = 64
"""TensorFlow aborts the process if a tensor's address is not a multiple of this, on any device."""


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
    """Compute on a device, and translate its errors.

    Args:
        device: as from `resolve_devices`.

    Raises:
        OutOfMemoryError, DeviceError: the device failed.
    """
    try:
        with tf.device(tensorflow_name(device)):
            yield
    except tf.errors.ResourceExhaustedError as error:
        hint = f"use a smaller --batch, or {FALLBACK_HINT}"
        raise OutOfMemoryError(f"{device} has too little memory for the frames in the pipeline", hint=hint) from error
    except tf.errors.OpError as error:
        raise DeviceError(f"{device} failed: {error.message}", hint=FALLBACK_HINT) from error
    except (av.error.FFmpegError, ValueError, TypeError, RuntimeError) as error:
        raise DeviceError(f"frames cannot stay on {device}: {error_summary(error)}", hint=FALLBACK_HINT) from error


def to_tensors(video_frame: VideoFrame) -> tuple[Any, Any]:
    """Return the planes of a frame as tensors that keep it alive.

    Args:
        video_frame: NV12 with even sides, in GPU or CPU memory, completely written
            (`streamcam.media.cuda.synchronize`).

    Returns:
        uint8 luma ``(height, line)`` and chroma ``(height / 2, line / 2, 2)``, on the frame's device; a line is at
        least as long as the frame is wide.

    Raises:
        DeviceError: TensorFlow cannot use the frame's address in GPU memory.
    """
    luma, chroma = (plane.__dlpack__() for plane in video_frame.planes)
    for capsule, samples in ((luma, 1), (chroma, 2)):
        tensor = _dl_tensor(capsule)
        if (tensor.data + tensor.byte_offset) % _ALIGNMENT_BYTES:
            if video_frame.format.name != CUDA_FORMAT:
                return _copy_to_tensors(video_frame)
            raise DeviceError("a frame is at an address that TensorFlow cannot use", hint=FALLBACK_HINT)
        tensor.shape[1] = tensor.strides[0] // samples
    return tuple(tf.experimental.dlpack.from_dlpack(capsule) for capsule in (luma, chroma))


def _copy_to_tensors(video_frame: VideoFrame) -> tuple[Any, Any]:
    luma, chroma = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in video_frame.planes
    )
    pairs = chroma[:, : video_frame.width].reshape(video_frame.height // 2, -1, 2)
    return tf.constant(luma[:, : video_frame.width]), tf.constant(pairs)


def pack_nv12(luma: Any, chroma: Any, size: Size) -> Any:
    """Return a frame as one tensor in the layout of NVENC.

    Used in a graph, before `to_video_frame`.

    Args:
        luma: uint8 ``(height, width)``.
        chroma: uint8 ``(height / 2, width / 2, 2)``.
        size: ``(width, height)``.

    Returns:
        uint8 ``(height · 3 / 2, line)``: luma, and below it interleaved Cb and Cr; a line is a multiple of 64 long.
    """
    width, height = size
    nv12 = tf.concat([tf.reshape(luma, (height, width)), tf.reshape(chroma, (height // 2, width))], axis=0)
    return tf.pad(nv12, [[0, 0], [0, -width % _ALIGNMENT_BYTES]])


def to_video_frame(nv12: Any, width: int, cuda: CudaContext | None) -> VideoFrame:
    """Return a tensor as a video frame that keeps it alive.

    Args:
        nv12: as from `pack_nv12`; it is completely computed on return.
        width: width of the frame.
        cuda: as from `cuda_context`, the same for all frames of a stream; None in CPU memory.
    """
    # TensorFlow may return tensors that are still being computed; copying a value to the CPU waits for them.
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
    """Return the CUDA context of a device's frames; None for a CPU. ``device`` is as from `resolve_devices`."""
    kind, _, number = device.partition(":")
    return CudaContext(int(number or 0), primary_ctx=False, current_ctx=True) if kind == "gpu" else None


def _dl_tensor(capsule: Any) -> _DLTensor:
    return _DLTensor.from_address(_get_pointer(capsule, b"dltensor"))
