"""An RTSP server that replays an encoded clip to any number of clients: cheap, and its timing can be planted.

with ReplayServer(encode_clip(160, 96, frames=50), rate=25) as server:
    ...  # server.url
    server.stall.set()  # sends nothing, as a network that stalls
    server.stall.clear()  # sends at once what it held back

As a program, it serves until its standard input closes: ``python tests/rtsp_replay.py WIDTH HEIGHT RATE``.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import IO, Self

_MAX_PAYLOAD = 1400
_CLOCK = 90_000
_NTP_OFFSET = 2_208_988_800
_SSRC = 0x5C


def encode_clip(
    width: int, height: int, *, frames: int, rate: int = 25, gop: int = 25, bframes: int = 0
) -> list[bytes]:
    """Return FFmpeg's moving test pattern as H.264, one access unit a frame, each with its headers if it is a key."""
    import av

    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, rate), gop
    x264 = f"repeat-headers=1:scenecut=0:keyint={gop}:min-keyint={gop}"
    context.options = {"preset": "veryfast", "bf": str(bframes), "x264-params": x264, "crf": "25"}
    units = []
    with av.open(f"testsrc2=size={width}x{height}:rate={rate}", format="lavfi") as container:
        for index, frame in enumerate(itertools.islice(container.decode(video=0), frames)):
            # No time base of its own: the frame's is that of its container.
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base, picture.pict_type = index, context.time_base, 0
            units += [bytes(packet) for packet in context.encode(picture)]
    return units + [bytes(packet) for packet in context.encode()]


def nal_units(unit: bytes) -> list[bytes]:
    """Return the NAL units of an access unit in Annex B form."""
    return [nal for nal in re.split(rb"\x00\x00\x00?\x01", unit) if nal]


def rtp_payloads(unit: bytes) -> list[bytes]:
    """Return the RTP payloads of an access unit (RFC 6184, fragments in FU-A)."""
    payloads = []
    for nal in nal_units(unit):
        if len(nal) <= _MAX_PAYLOAD:
            payloads.append(nal)
            continue
        parts = [nal[at : at + _MAX_PAYLOAD] for at in range(1, len(nal), _MAX_PAYLOAD)]
        for number, part in enumerate(parts):
            edge = (0x80 if number == 0 else 0) | (0x40 if number == len(parts) - 1 else 0)
            payloads.append(bytes([nal[0] & 0x60 | 28, edge | nal[0] & 0x1F]) + part)
    return payloads


class ReplayServer:
    """Replays access units in a loop, in real time, to each client from the first one on.

    Args:
        units: access units; the first is a key frame.
        rate: frames a second.
        delay_seconds: if given, sender reports tell that frames were captured so long before they are sent.
        transports: lower transports that it accepts.

    Attributes:
        url: where it is.
        stall: while set, nothing is sent; the frames due meanwhile are sent afterwards, at once.
        num_clients: clients that played so far.
    """

    def __init__(
        self,
        units: Sequence[bytes],
        rate: float = 25,
        *,
        delay_seconds: float | None = None,
        transports: Sequence[str] = ("tcp", "udp"),
    ) -> None:
        self._payloads = [rtp_payloads(unit) for unit in units]
        headers = [nal for nal in nal_units(units[0]) if nal[0] & 0x1F in (7, 8)]
        self._sprop = ",".join(base64.b64encode(nal).decode() for nal in headers)
        self._rate, self._delay_seconds, self._transports = rate, delay_seconds, transports
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._closed = threading.Event()
        self.stall = threading.Event()
        self.num_clients = 0
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/cam"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gone, udp = threading.Event(), None
        with connection, connection.makefile("rb") as requests, contextlib.suppress(OSError):
            while request := self._read_request(requests):
                method, head = request
                extra = body = ""
                status = "200 OK"
                if method == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = (
                        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=replay\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={self._sprop}\r\na=control:track1\r\n"
                    )
                    extra = f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\n"
                elif method == "SETUP":
                    transport = head["transport"]
                    ports = re.search(r"client_port=(\d+)-(\d+)", transport)
                    if ("udp" if ports else "tcp") not in self._transports:
                        status = "461 Unsupported Transport"
                    elif ports:
                        udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
                        for one, port in zip(udp, ports.groups(), strict=True):
                            one.bind(("127.0.0.1", 0))
                            one.connect(("127.0.0.1", int(port)))
                        served = "-".join(str(one.getsockname()[1]) for one in udp)
                        transport += f";server_port={served}"
                    extra = f"Transport: {transport}\r\nSession: 1\r\n"
                elif method == "PLAY":
                    extra = "Session: 1\r\nRange: npt=0.000-\r\n"
                length = f"Content-Length: {len(body)}\r\n" if body else ""
                connection.sendall(
                    f"RTSP/1.0 {status}\r\nCSeq: {head.get('cseq', 0)}\r\n{extra}{length}\r\n{body}".encode()
                )
                if method == "PLAY":
                    self.num_clients += 1
                    threading.Thread(target=self._play, args=(connection, udp, gone), daemon=True).start()
        gone.set()

    @staticmethod
    def _read_request(requests: IO[bytes]) -> tuple[str, dict[str, str]] | None:
        first = requests.read(1)
        while first == b"$":  # a receiver report of the client
            _, size = struct.unpack(">BH", requests.read(3))
            requests.read(size)
            first = requests.read(1)
        line = first + requests.readline()
        if not line.strip():
            return None
        head = {}
        while field := requests.readline().strip():
            name, _, value = field.decode().partition(":")
            head[name.lower()] = value.strip()
        return line.split()[0].decode(), head

    def _play(self, connection: socket.socket, udp: list[socket.socket] | None, gone: threading.Event) -> None:
        sequence, begin = 0, time.monotonic()
        with contextlib.suppress(OSError):
            for index in itertools.count():
                while time.monotonic() < begin + index / self._rate or self.stall.is_set():
                    due = begin + index / self._rate - time.monotonic()
                    if gone.wait(0.005 if self.stall.is_set() else max(0.0, due)) or self._closed.is_set():
                        return
                ticks = round(index * _CLOCK / self._rate) & 0xFFFFFFFF
                messages = []
                if self._delay_seconds is not None and index % max(1, int(self._rate)) == 0:
                    captured = time.time() - (time.monotonic() - begin - index / self._rate) - self._delay_seconds
                    seconds, fraction = divmod(captured + _NTP_OFFSET, 1)
                    body = struct.pack(">IIIIII", _SSRC, int(seconds), int(fraction * 2**32), ticks, 0, 0)
                    messages.append((1, struct.pack(">BBH", 0x80, 200, 6) + body))
                payloads = self._payloads[index % len(self._payloads)]
                for number, payload in enumerate(payloads):
                    marker = 0x80 if number == len(payloads) - 1 else 0
                    messages.append((0, struct.pack(">BBHII", 0x80, marker | 96, sequence, ticks, _SSRC) + payload))
                    sequence = (sequence + 1) & 0xFFFF
                if udp:
                    for channel, message in messages:
                        udp[channel].send(message)
                else:
                    connection.sendall(
                        b"".join(struct.pack(">cBH", b"$", channel, len(data)) + data for channel, data in messages)
                    )
        gone.set()


def _serve(width: int, height: int, rate: int) -> None:
    with ReplayServer(encode_clip(width, height, frames=10 * rate, rate=rate, gop=2 * rate), rate) as server:
        print(server.url, flush=True)
        sys.stdin.read()  # until its parent is gone


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:4]))
