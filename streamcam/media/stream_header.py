"""A stream's description as bytes, for another process: a NUT file, which holds every codec.

FFmpeg opens it only with a packet in it, which holds nothing.
"""

from __future__ import annotations

import contextlib
import io

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream


def pack_stream(stream: Stream) -> bytes:
    """Return the description of a stream: codec, sample rate, layout and the codec's own header.

    Raises:
        ValueError: NUT cannot hold it.
    """
    file = io.BytesIO()
    # Otherwise it would hold random numbers, and equal streams would differ.
    output = av.open(file, "w", format="nut", options={"fflags": "bitexact"})
    try:
        packet: Packet[Stream] = Packet(b"\0")
        packet.stream = output.add_stream_from_template(stream)
        packet.pts = packet.dts = 0
        output.mux_one(packet)
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"{stream.type} stream cannot be described: {error}") from error
    finally:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            output.close()
    return file.getvalue()


def unpack_stream(header: bytes) -> tuple[InputContainer, Stream]:
    """Return the stream that `pack_stream` described, as a template for a muxer.

    It is valid as long as its container.
    """
    container = av.open(io.BytesIO(header), "r", format="nut")
    return container, container.streams[0]
