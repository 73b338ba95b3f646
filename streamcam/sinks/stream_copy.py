"""Unchanged streams: audio and subtitles, packet for packet."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import av
import av.error
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from ..errors import count_of
from .frame_times import MAX_FRAME_TICKS

_STALE_TAGS = {"DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "BPS", "encoder", "vendor_id"}
"""Tags about the old file, not its content."""


def clean_metadata(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags without those that are wrong in a new file."""
    old_brand = ("major_brand", "minor_version", "compatible_brands")
    return {key: value for key, value in tags.items() if not _is_stale(key) and key not in old_brand}


def _is_stale(key: str) -> bool:
    return key in _STALE_TAGS or key.startswith("_STATISTICS") or key.rpartition("-")[0] in _STALE_TAGS


_DEFAULT_LAYOUTS = {2: "stereo", 6: "5.1", 8: "7.1"}
"""Channel layouts of files without one, such as AVI; MP4 requires it."""

_DAMAGED_PACKET_ERRORS = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
"""Errors of the packet; those of the disk are different ones."""

_ADTS_SYNC = b"\xff"
"""First byte of AAC with a header before each packet."""

_DESCRIBED_BY_PACKETS = ("ac3", "eac3")
"""Codecs whose MP4 header needs data of their first packet."""


def muxable_streams(
    format_name: str, options: dict[str, str], streams: Iterable[Stream]
) -> tuple[list[Stream], list[str]]:
    """Select the streams that a container can hold.

    Writes a header for each to memory as a test.

    Args:
        format_name: of the muxer.
        options: of the muxer.
        streams: templates.

    Returns:
        The streams it can hold, and a description of each of the others.
    """
    muxable: list[Stream] = []
    rejected: list[str] = []
    for stream in streams:
        trial = av.open(io.BytesIO(), "w", format=format_name, options=_immediate_header_options(options, stream))
        try:
            add_stream(trial, stream)
            trial.start_encoding()
            muxable.append(stream)
        except (av.error.FFmpegError, ValueError, OSError):
            rejected.append(describe_stream(stream))
        finally:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                trial.close()
    return muxable, rejected


def is_described_by_packets(stream: Stream) -> bool:
    """Return True if an MP4's header needs the stream's first packet.

    Streams without a decoder have no codec.
    """
    context = stream.codec_context
    return context is not None and context.name in _DESCRIBED_BY_PACKETS


def describe_stream(stream: Stream) -> str:
    """Return a stream's name for messages."""
    language = f" ({stream.language})" if stream.language else ""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    return f"{stream.type} stream{language} in {codec}"


def _immediate_header_options(options: dict[str, str], stream: Stream) -> dict[str, str]:
    """Return options that write the header before any packet, if possible."""
    context = stream.codec_context
    if "movflags" not in options or context is None or is_described_by_packets(stream):
        return options
    return options | {"movflags": options["movflags"].replace("+delay_moov", "+empty_moov")}


def add_stream(output: OutputContainer, template: Stream) -> Stream:
    """Add a stream like ``template``, with its language, title and disposition.

    Raises:
        ValueError: the container cannot hold it.
    """
    stream = output.add_stream_from_template(template)
    stream.metadata.update(clean_metadata(template.metadata))
    stream.disposition = template.disposition
    if isinstance(stream, AudioStream) and stream.layout.name.endswith(" channels"):
        default_layout = _DEFAULT_LAYOUTS.get(stream.layout.nb_channels)
        if default_layout:
            stream.codec_context.layout = default_layout
    return stream


class StreamCopier:
    """Passes copied packets to a muxer with strictly increasing time stamps.

    A stream whose packets the muxer refuses is dropped; the others continue.

    Args:
        output: the muxer, its header not written yet.
        templates: the streams to copy.
        shift_seconds: seconds that all packets are moved later.

    Attributes:
        num_corrected: packets whose time stamp was missing or did not increase.
        notes: a line for each stream that is dropped or ends early.
    """

    def __init__(
        self, output: OutputContainer, templates: Sequence[Stream], shift_seconds: Fraction = Fraction(0)
    ) -> None:
        self._output = output
        self._shift_seconds = shift_seconds
        self._fragmented = output.format.name in ("mp4", "mov")
        self._streams = {template.index: add_stream(output, template) for template in templates}
        self._bare_aac = {template.index for template in templates if _is_bare_aac(template)}
        in_mp4 = output.format.name in ("mp4", "mov")
        self._adts_filters = {
            t.index: BitStreamFilterContext("aac_adtstoasc", t)
            for t in templates
            if in_mp4 and t.index in self._bare_aac
        }
        # In seconds: packets of one stream may count in different ticks.
        self._last_dts_seconds: dict[int, Fraction] = {}
        self.num_corrected = 0
        self.notes: list[str] = []

    @property
    def all_notes(self) -> list[str]:
        """The notes, and how many packets were moved."""
        if not self.num_corrected:
            return self.notes
        packets = count_of(self.num_corrected, "packet")
        return [*self.notes, f"{packets} of copied streams had timestamps that did not increase, moved"]

    def _is_gap(self, packet: Packet[Any]) -> bool:
        """Return True for the empty text that ends a subtitle in MP4: the muxer writes its own."""
        context = packet.stream.codec_context
        return packet.size <= 2 and context is not None and context.name == "mov_text"

    def mux(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets; drop those of streams that the container cannot hold."""
        for packet in packets:
            template, index = packet.stream, packet.stream.index
            if index not in self._streams or self._is_gap(packet):
                continue
            if index in self._bare_aac and bytes(memoryview(packet)[:1]) != _ADTS_SYNC:
                self._drop(template, "it has no AAC configuration")
                continue
            self._shift(packet)
            time_base, min_step = Fraction(packet.time_base or 1), _min_step_ticks(self._streams[index], packet)
            last = ceil(self._last_dts_seconds[index] / time_base) if index in self._last_dts_seconds else None
            if packet.dts is None or (last is not None and packet.dts < last + min_step):
                packet.dts = 0 if last is None else last + min_step
                self.num_corrected += 1
            if packet.pts is not None:
                packet.pts = max(packet.pts, packet.dts)
            if self._ends_before(packet):
                continue
            self._last_dts_seconds[index] = packet.dts * time_base
            try:
                for ready in self._adts_filters[index].filter(packet) if index in self._adts_filters else [packet]:
                    ready.stream = self._streams[index]
                    self._output.mux_one(ready)
            except _DAMAGED_PACKET_ERRORS as error:
                self._drop(template, error.strerror or "damaged packet")

    def _drop(self, template: Stream, reason: str) -> None:
        del self._streams[template.index]
        self.notes.append(f"{describe_stream(template)} is dropped: {reason}")

    def _shift(self, packet: Packet[Any]) -> None:
        """Move a packet later, with all streams."""
        if not (self._shift_seconds and packet.time_base):
            return
        shift_ticks = round(self._shift_seconds / Fraction(packet.time_base))
        packet.dts = None if packet.dts is None else packet.dts + shift_ticks
        packet.pts = None if packet.pts is None else packet.pts + shift_ticks

    def _ends_before(self, packet: Packet[Any]) -> bool:
        """Return True if an MP4 cannot hold the pause before a packet; its stream ends there, or never begins."""
        index = packet.stream.index
        stream, last_seconds = self._streams[index], self._last_dts_seconds.get(index)
        if not self._fragmented or stream.time_base is None or packet.time_base is None or packet.dts is None:
            return False
        max_seconds, time_base = MAX_FRAME_TICKS * Fraction(stream.time_base), Fraction(packet.time_base)
        pause_seconds = packet.dts * time_base - (last_seconds or 0)
        if pause_seconds > max_seconds:
            hours = f"{float(pause_seconds) / 3600:.1f} hours"
            self.notes.append(
                f"{describe_stream(packet.stream)} is dropped: it begins after {hours}, which .mkv can hold"
                if last_seconds is None
                else f"{describe_stream(packet.stream)} ends at {float(last_seconds):.1f} s: a pause of {hours} "
                "follows, which .mkv can hold"
            )
            del self._streams[index]
            return True
        if packet.duration and packet.duration * time_base > max_seconds:
            packet.duration = 0
        return False


def _is_bare_aac(template: Stream) -> bool:
    """Return True for AAC without a header of the stream.

    Broadcasts have one before each packet; MP4 stores one for the stream.
    """
    context = template.codec_context
    return context is not None and context.name == "aac" and not context.extradata


def _min_step_ticks(stream: Stream, packet: Packet[Any]) -> int:
    """Return how many packet ticks make at least one stream tick."""
    if not (stream.time_base and packet.time_base):
        return 1
    return max(1, ceil(Fraction(stream.time_base) / Fraction(packet.time_base)))
