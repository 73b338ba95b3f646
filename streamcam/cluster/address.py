"""Connect to a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..errors import OptionError, StreamcamError, error_summary

CLIENT_PORT = 10001
"""Port of the Ray Client server on the head node."""

_EXPECTED = f"auto, local or ray://HOST:{CLIENT_PORT}"
_CONNECT_SECONDS = 10
_LOCAL_OBJECT_STORE_BYTES = 512 << 20
"""Shared memory of a local cluster: each worker has the records and the segment of two chunks in it at most."""


def check_address(address: str) -> None:
    """Check the value of ``--cluster``.

    Raises:
        OptionError: neither ``auto``, ``local`` nor ``ray://HOST:PORT``.
    """
    if address in ("auto", "local"):
        return
    try:
        parts = urlsplit(address)
        if parts.scheme == "ray" and parts.hostname and (parts.port or CLIENT_PORT):
            return
    except ValueError:  # a port that is no number
        pass
    raise OptionError(f"invalid --cluster {address!r}", expected=_EXPECTED)


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """Connect to a cluster, and return the module `ray`; the end of the block disconnects.

    Args:
        address: ``local`` starts a cluster on this machine; ``auto`` takes the one that ``RAY_ADDRESS`` names or that
            ``ray start`` has started on this machine; ``ray://HOST:PORT`` a distant one.

    Raises:
        StreamcamError: Ray is not installed, the cluster does not answer, or has another version.
    """
    check_address(address)
    with _kept_signal_handlers():
        # The cluster is the user's; a local one ends with the run. Neither reports its use to Ray's authors.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _import_ray()
        target = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
        _check_port(target)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": True}
        if target == "local":
            options |= {"include_dashboard": False, "object_store_memory": _LOCAL_OBJECT_STORE_BYTES}
        was_connected = ray.is_initialized()
        try:
            if not was_connected:
                ray.init(address=target, **options)
        except Exception as error:
            raise _connection_error(target, error) from error
    try:
        yield ray
    finally:
        if not was_connected:
            ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise StreamcamError(
            "--cluster needs Ray, which is not installed", hint="pip install 'streamcam[cluster]'"
        ) from error
    return ray


def _check_port(target: str) -> None:
    """Check that something listens: Ray itself waits for half a minute, or for ever.

    Raises:
        StreamcamError: nothing does.
    """
    if target in ("auto", "local"):
        return
    parts = urlsplit(target if "://" in target else f"//{target}")
    try:
        with socket.create_connection((parts.hostname, parts.port or CLIENT_PORT), timeout=_CONNECT_SECONDS):
            return
    except OSError as error:
        raise _connection_error(target, error) from error


def _connection_error(target: str, error: Exception) -> StreamcamError:
    text = str(error)
    if "ersion mismatch" in text or ("version" in text.lower() and "ray" in text.lower()):
        return StreamcamError(
            f"the cluster {target} runs another version of Ray or Python: {error_summary(error)}",
            hint="install the same versions here and on all nodes",
        )
    if target == "auto":
        return StreamcamError(
            "--cluster auto finds no Ray cluster on this machine",
            hint="start one with ray start --head, set RAY_ADDRESS, or use --cluster local",
        )
    reason = getattr(error, "strerror", None) or error_summary(error)
    hint = "check that ray start --head runs there and that its port is open" if target != "local" else ""
    if "timeout" in text or "oken" in text:
        hint += "; if it asks for a token, set RAY_AUTH_MODE=token here and give this machine the token"
    return StreamcamError(f"the cluster {target} does not answer: {reason}", hint=hint)


@contextlib.contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Keep the handlers of signals: the import of Ray and its start install their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
