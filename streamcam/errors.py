"""The error tree, and texts for error messages.

    StreamcamError              base class: one line for the user, exit code 1
    ├── OptionError             invalid value of an option
    ├── SourceError             the input cannot be opened, read or decoded
    ├── ModelError              the model cannot be loaded or run
    │   ├── LayerError          unknown layer, or one that cannot be explained
    │   └── TargetError         unknown class
    ├── MethodError             an explanation method that cannot be used with this model
    │   └── UnknownMethodError  unknown explanation method; also an OptionError
    ├── DeviceError             unknown device, or it failed
    │   └── OutOfMemoryError    device memory exhausted
    └── SinkError               the output cannot be created or written
        └── UnknownFormatError  the suffix of the output is not supported; also an OptionError

Errors of PyAV, Keras, TensorFlow and the operating system are translated into these once, where the library is called;
no code above that place handles a foreign exception. `describe_error` and `error_summary` shorten foreign messages.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

_MAX_SUMMARY_LENGTH = 200


class StreamcamError(Exception):
    """An error on which the user can act.

    The message is one line, ``<problem>; expected <expected>; <hint>``, without the parts that are empty. Line breaks
    inside a part (common in foreign messages) become spaces, and a full stop at its end is dropped::

        >>> str(StreamcamError("invalid --alpha 2", expected="0 to 1"))
        'invalid --alpha 2; expected 0 to 1'
        >>> str(StreamcamError("unknown --fit 'x'", expected="one of crop, stretch", hint="did you mean 'crop'?"))
        "unknown --fit 'x'; expected one of crop, stretch; did you mean 'crop'?"

    Args:
        problem: the problem, with the option and the value: ``invalid --alpha 2``.
        expected: the valid values: ``0 to 1``, ``one of a, b, c``. The word "expected" is added.
        hint: what to do: ``use --device cpu``, or the result of `did_you_mean`.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = "") -> None:
        parts = [
            " ".join(part.split()).rstrip(".;") for part in (problem, expected and f"expected {expected}", hint) if part
        ]
        super().__init__("; ".join(parts))


class OptionError(StreamcamError):
    """Invalid value of an option."""


class SourceError(StreamcamError):
    """The input cannot be opened, read or decoded."""


class ModelError(StreamcamError):
    """The model cannot be loaded or run."""


class LayerError(ModelError):
    """Unknown layer, or one that cannot be explained."""


class TargetError(ModelError):
    """Unknown class."""


class MethodError(StreamcamError):
    """Unknown explanation method, or one that cannot be used with this model."""


class UnknownMethodError(MethodError, OptionError):
    """Unknown explanation method."""


class DeviceError(StreamcamError):
    """Unknown device, or it failed."""


class OutOfMemoryError(DeviceError):
    """The memory of a device is too small for a batch."""


class SinkError(StreamcamError):
    """The output cannot be created or written."""


class UnknownFormatError(SinkError, OptionError):
    """The suffix of the output is not supported."""


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return the hint ``did you mean 'a', 'b'?`` for a misspelt name; empty if no known name is close.

    Args:
        name: the unknown name.
        known: the valid names.
        count: maximum number of suggestions.
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=count, cutoff=0.5)
    return f"did you mean {', '.join(repr(by_folded[c]) for c in close)}?" if close else ""


def redact_url(url: str) -> str:
    """Hide the secrets of a URL: user, password, query (often a token) and RTMP stream key.

    Args:
        url: a URL; other text is returned unchanged.
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        port = parts.netloc.rpartition("]")[2].partition(":")[2]
    except ValueError:  # brackets without an IPv6 address
        return f"{url.partition('://')[0]}://***"
    if "@" not in parts.netloc and "@" in url and port and not port.isdecimal():
        # A password that contains a slash, or the start of a query or fragment.
        return redact_url(f"{parts.scheme}://***@{url.rpartition('@')[2]}")
    host = parts.netloc.rpartition("@")[2]
    above, _, key = parts.path.rpartition("/")
    path = f"{above}/***" if parts.scheme == "rtmp" and above and key else parts.path
    netloc = f"***@{host}" if "@" in parts.netloc else host
    return urlunsplit(parts._replace(netloc=netloc, path=path, query="***" if parts.query else "", fragment=""))


def describe_error(error: BaseException) -> str:
    """Return type and message of a foreign error: ``ValueError: too small``."""
    summary = error_summary(error)
    return type(error).__name__ if summary == type(error).__name__ else f"{type(error).__name__}: {summary}"


def error_summary(error: BaseException) -> str:
    """Return the sentence of a foreign error that states its cause.

    Keras wraps an error several times, each time with the whole configuration before it: the cause comes last, or in
    bold.

    Args:
        error: an exception of another library.
    """
    # str(KeyError) is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)
    text = text.rpartition("Exception encountered:")[2].strip()
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", text, re.DOTALL)
    text = bold[1] if bold and text.startswith("Exception encountered when calling") else text
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    sentence = re.split(r"(?<=[^.\s]{2})\. (?=[A-Z])", line)[0]
    return sentence if len(sentence) <= _MAX_SUMMARY_LENGTH else f"{sentence[:_MAX_SUMMARY_LENGTH]}…"
