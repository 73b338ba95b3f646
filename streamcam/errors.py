"""Everything streamcam raises on purpose.

    StreamcamError              base: one line for the user, exit code 1
    ├── OptionError             a value given to an option cannot be used
    ├── SourceError             the input cannot be opened, read or decoded
    ├── ModelError              the model cannot be loaded or run
    │   ├── LayerError          no such layer, or one that cannot be explained
    │   └── TargetError         no such class
    ├── MethodError             no such explanation method
    ├── DeviceError             no such device
    │   └── OutOfMemoryError    its memory is too small
    └── SinkError               the output cannot be created or written

Errors of PyAV, Keras, TensorFlow and the operating system are translated into these once, where the
library is called; nothing above that place handles a foreign exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit


class StreamcamError(Exception):
    """An error the user can act on.

    The message is one line built from three parts: ``problem`` came, what was ``expected`` instead, and what
    to do about it (``hint``). Line breaks inside the parts (foreign messages often have them) are folded.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = "") -> None:
        parts = [
            " ".join(part.split()).rstrip(".;") for part in (problem, expected and f"expected {expected}", hint) if part
        ]
        super().__init__("; ".join(parts))


class OptionError(StreamcamError):
    """A value given to an option cannot be used."""


class SourceError(StreamcamError):
    """The input cannot be opened, read or decoded."""


class ModelError(StreamcamError):
    """The model cannot be loaded or run."""


class LayerError(ModelError):
    """There is no such layer, or it cannot be explained."""


class TargetError(ModelError):
    """There is no such class."""


class MethodError(StreamcamError):
    """There is no such explanation method."""


class DeviceError(StreamcamError):
    """There is no such device, or it failed."""


class OutOfMemoryError(DeviceError):
    """A device's memory is too small for what it was given at once."""


class SinkError(StreamcamError):
    """The output cannot be created or written."""


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """The hint ``did you mean 'a', 'b'?`` for a misspelt name, or ``""`` when nothing is close."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=count, cutoff=0.5)
    return f"did you mean {', '.join(repr(by_folded[c]) for c in close)}?" if close else ""


def redact_url(url: str) -> str:
    """``url`` fit for messages: user, password, query (it often holds a token) and key of an RTMP stream hidden."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        port = parts.netloc.rpartition("]")[2].partition(":")[2]
    except ValueError:  # brackets that are no address
        return f"{url.partition('://')[0]}://***"
    if "@" not in parts.netloc and "@" in url and port and not port.isdecimal():
        # A password with a slash in it, or with what begins a query or a fragment.
        return redact_url(f"{parts.scheme}://***@{url.rpartition('@')[2]}")
    host = parts.netloc.rpartition("@")[2]
    above, _, key = parts.path.rpartition("/")
    path = f"{above}/***" if parts.scheme == "rtmp" and above and key else parts.path
    netloc = f"***@{host}" if "@" in parts.netloc else host
    return urlunsplit(parts._replace(netloc=netloc, path=path, query="***" if parts.query else "", fragment=""))
