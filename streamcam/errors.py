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

    PreprocessWarning           a UserWarning: the preprocessing is a guess, so that classes and maps may be wrong

Errors of PyAV, Keras, TensorFlow and the operating system are translated into these once, where the library is called;
no code above that place handles a foreign exception. `describe_error` and `error_summary` shorten foreign messages.
"""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

_MAX_SUMMARY_LENGTH = 200
_MIN_SIMILARITY = 0.65
_MAX_LISTED = 12


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


class PreprocessWarning(UserWarning):
    """The preprocessing of a model is a guess; its results may be wrong."""


def warn_user(message: str, category: type[Warning]) -> None:
    """Issue a warning at the line outside this package that led here.

    Args:
        message: one line.
        category: such as `PreprocessWarning`.
    """
    package, frame, level = __name__.partition(".")[0], sys._getframe(1), 2
    while frame.f_back and str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 frame``, ``2 frames``.

    Args:
        count: the number.
        noun: singular.
        plural: empty for the singular with an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def list_known(name: str, known: Iterable[str], what: str) -> str:
    """Return a hint on an unknown name.

    It lists the nearest five or, if none is close, the valid names.

    Args:
        name: the unknown name.
        known: the valid names.
        what: noun for the valid names: ``classes``.
    """
    names = list(known)
    if hint := did_you_mean(name, names, 5):
        return hint
    listed = [*names[:2], "…", *names[-1:]] if len(names) > _MAX_LISTED else names
    return f"the {what} are {', '.join(one if one == '…' else repr(one) for one in listed)}"


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return the hint ``did you mean 'a', 'b'?`` for a misspelt name; empty if no known name is close.

    A suffix that two file names share does not make them similar.

    Args:
        name: the unknown name.
        known: the valid names.
        count: maximum number of suggestions.
    """
    ratios = {candidate: _similarity(name.casefold(), candidate.casefold()) for candidate in known}
    close = sorted((one for one in ratios if ratios[one] >= _MIN_SIMILARITY), key=lambda one: -ratios[one])[:count]
    return f"did you mean {', '.join(map(repr, close))}?" if close else ""


def _similarity(first: str, second: str) -> float:
    """Return the similarity of two names, 0 to 1."""
    suffix = re.search(r"\.\w{1,5}$", first)
    if suffix and second.endswith(suffix[0]):
        first, second = first.removesuffix(suffix[0]), second.removesuffix(suffix[0])
    matcher = difflib.SequenceMatcher(None, second, first)
    return matcher.ratio() if matcher.real_quick_ratio() >= _MIN_SIMILARITY <= matcher.quick_ratio() else 0.0


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
    text = re.sub(r"\{\{function_node [^{}]*\}\} *", "", text)  # TensorFlow's own name of an operation
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", text, re.DOTALL)
    text = bold[1] if bold and text.startswith("Exception encountered when calling") else text
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    sentence = re.split(r"(?<=[^.\s]{2})\. (?=[A-Z])", line)[0]
    return sentence if len(sentence) <= _MAX_SUMMARY_LENGTH else f"{sentence[:_MAX_SUMMARY_LENGTH]}…"
