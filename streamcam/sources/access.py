"""Limits on the files and addresses that an input opens.

A playlist names further files or addresses, and FFmpeg opens them. A stranger's file could so read local files or reach
hosts of the local network. Files and cameras therefore open their input with `access_options`:

- a local file opens itself only, unless the user allows playlists;
- a network input opens network addresses only, through redirects and playlists too;
- standard input opens nothing else.
"""

from __future__ import annotations

import functools
from pathlib import Path

import av

_PLAYLIST_FORMATS = frozenset(("concat", "hls", "sap", "sdp", "vobsub", "webm_dash_manifest"))
"""Demuxers that open what the content of a file names."""

_NETWORK_PLAYLIST_FORMATS = frozenset(("hls",))
"""Those that network inputs may use."""

_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
_PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": f"{_HTTP},rtsp,rtsps,rtp,srtp,udp",
    "rtsps": f"{_HTTP},rtsp,rtsps,rtp,srtp,udp",
    "rtmp": f"{_HTTP},rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,ffrtmpcrypt,ffrtmphttp",
}
"""Scheme of a URL -> protocols that its input may open."""

_ALLOWED_PLAYLIST_PROTOCOLS = f"file,{_HTTP},rtp,srtp,udp"

_PLAYLIST_SIGNATURES = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat version": "an ffconcat list",
    b"v=0": "an SDP description",
}


def access_options(scheme: str, *, allow_playlist_files: bool = False) -> dict[str, str]:
    """Return the options of FFmpeg that limit what an input opens.

    Args:
        scheme: of a network URL; ``file`` for a local file, ``-`` for standard input.
        allow_playlist_files: a local playlist may open local files and network addresses.
    """
    if scheme in _PROTOCOLS:
        return {
            "protocol_whitelist": _PROTOCOLS[scheme],
            "format_whitelist": _formats_without(_PLAYLIST_FORMATS - _NETWORK_PLAYLIST_FORMATS),
        }
    if scheme == "file" and allow_playlist_files:
        return {"protocol_whitelist": _ALLOWED_PLAYLIST_PROTOCOLS, "safe": "0", "pattern_type": "none"}
    return {
        "protocol_whitelist": "file" if scheme == "file" else "pipe",
        "format_whitelist": _formats_without(_PLAYLIST_FORMATS),
        "pattern_type": "none",
    }


def playlist_kind(path: str) -> str:
    """Return what kind of playlist a local file is; empty if none."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return ""
    return next((kind for signature, kind in _PLAYLIST_SIGNATURES.items() if head.startswith(signature)), "")


@functools.cache
def _formats_without(excluded: frozenset[str]) -> str:
    """Return all formats except some, as FFmpeg's whitelist."""
    return ",".join(sorted(av.formats_available - excluded))
