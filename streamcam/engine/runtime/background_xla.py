"""Compile with XLA in the background, and swap in between batches.

On a GPU a run starts with the plain graph. XLA takes 12 to 50 seconds to compile it and makes it 1.07 times (float32)
to 1.44 times (float16) as fast, so it is compiled only if the frames still to come repay that.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import ctypes
import functools
import gc
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from time import monotonic

from ...errors import StreamcamError, error_summary
from ...notes import get_logger
from ..compiled_method import Executable
from .compile_cache import CompileCache, TunedMethod
from .precision import MIN_AGREEMENT, agreement, probe_outputs
from .replica import DeviceReplica
from .timing import MIN_SPEEDUP, seconds_in_turns

logger = get_logger(__name__)

THREAD_NAME = "streamcam-xla"
"""Name of the thread; the command ends at once if a thread with such a name is left."""

_MIN_FLOAT32_AGREEMENT = 0.999
"""As `MIN_AGREEMENT`, between two compilers of a graph in float32."""

COMPILING_RUNS = 3
"""Runs that compile all: TensorFlow compiles a part of the graph when it runs for the second time."""

_MIN_MEASURED_BATCHES = 4
_EXPECTED_SPEEDUP = 1.2
_SECONDS_PER_OPERATION = 0.1
"""Expected before the first compilation. An H100 took 12 to 50 s for the 322 operations of the embedded model."""

_one_at_a_time = threading.Semaphore()
"""Held by the compilation in progress: it takes as many cores as it finds."""


@dataclass(frozen=True, slots=True)
class XlaFinding:
    """Gain and cost of XLA for a method on this machine.

    Attributes:
        speedup: time of the plain graph over that of the compiled one.
        cosine: smallest cosine between their maps.
        compile_seconds: time to compile it.
    """

    speedup: float
    cosine: float
    compile_seconds: float

    def is_useful(self, precision: str) -> bool:
        """Return True if it is faster, with equal maps in this precision."""
        limit = _MIN_FLOAT32_AGREEMENT if precision == "float32" else MIN_AGREEMENT
        return self.speedup >= MIN_SPEEDUP and self.cosine >= limit

    def is_repaid(self, frames_left: float, seconds_per_frame: float) -> bool:
        """Return True if later frames gain more time than it takes.

        Args:
            frames_left: frames still to come.
            seconds_per_frame: of the plain graph.
        """
        frames_after = frames_left - self.compile_seconds / seconds_per_frame
        return frames_after * seconds_per_frame * (1 - 1 / self.speedup) > self.compile_seconds


class BackgroundXla:
    """Compiles the method of some replicas once its runs repay it. Callable from several threads.

    All replicas are swapped together. A run that ends does not wait for the compilation; the next one has its result.

    Args:
        replicas: the method on each device, not compiled with XLA.
        load: returns an executable compiled with XLA, for the same device and batch as another one.
        finding: of an earlier compilation; None expects something from the number of operations.
        num_operations: operations of the graph.
        store: stores what was measured.

    Attributes:
        swapped: True once the replicas run what XLA compiled.
    """

    def __init__(
        self,
        replicas: Sequence[DeviceReplica],
        load: Callable[[Executable], Executable],
        *,
        finding: XlaFinding | None = None,
        num_operations: int = 0,
        store: Callable[[XlaFinding], None] = lambda finding: None,
    ) -> None:
        self._replicas, self._load, self._store = tuple(replicas), load, store
        self._expected = finding or XlaFinding(_EXPECTED_SPEEDUP, 1.0, num_operations * _SECONDS_PER_OPERATION)
        self._lock = threading.Lock()
        self._frames_left: int | None = 0
        self._running, self._changed = 0, 0.0
        self._batches, self._frames, self._busy_seconds = 0, 0, 0.0
        self._done = not self._expected.is_useful(replicas[0].executable.precision)
        self.swapped = False
        for replica in replicas:
            replica.watch = self.watch

    def expect(self, num_frames: int | None) -> None:
        """Expect more frames; None expects as many again as were explained, at any time."""
        with self._lock:
            known = self._frames_left is not None and num_frames is not None
            self._frames_left = max(0, self._frames_left or 0) + (num_frames or 0) if known else None

    @contextlib.contextmanager
    def watch(self, num_frames: int) -> Iterator[None]:
        """Time a batch; start the compilation if the frames left repay it."""
        if self._done:
            yield
            return
        self._change_running(1)
        try:
            yield
        finally:
            self._change_running(-1, num_frames)
        self._start_if_repaid()

    def compile_now(self, *, always: bool = False) -> bool:
        """Compile in this thread for any number of frames; return `swapped`.

        Args:
            always: swap it in even if it is no faster, as long as the maps agree.
        """
        with self._lock:
            start, self._done = not self._done, True
        if start:
            with _one_at_a_time:
                self._compile(always=always)
        return self.swapped

    def _change_running(self, change: int, num_frames: int = 0) -> None:
        """Add up the time in which at least one batch runs."""
        with self._lock:
            now = monotonic()
            if self._running:
                self._busy_seconds += now - self._changed
            self._changed = now
            self._running += change
            self._batches += change < 0
            self._frames += num_frames
            if self._frames_left is not None:
                self._frames_left -= num_frames

    def _start_if_repaid(self) -> None:
        with self._lock:
            if self._done or self._batches < _MIN_MEASURED_BATCHES or not self._busy_seconds:
                return
            left = self._frames if self._frames_left is None else self._frames_left
            if not self._expected.is_repaid(left, self._busy_seconds / self._frames):
                return
            if not _one_at_a_time.acquire(blocking=False):
                return
            self._done = True
        _survive_exit()
        # A copy of the context: its notes are those of this run.
        run = functools.partial(contextvars.copy_context().run, self._compile_and_release)
        threading.Thread(target=run, name=THREAD_NAME, daemon=True).start()

    def _compile_and_release(self) -> None:
        try:
            self._compile()
        finally:
            _one_at_a_time.release()

    def _compile(self, *, always: bool = False) -> None:
        """Compile for all devices, compare, and swap if it is useful; after an error the plain graph goes on."""
        try:
            plain = [replica.executable for replica in self._replicas]
            started = monotonic()
            compiled = [self._compile_one(plain[0])]
            seconds = monotonic() - started
            cosine = agreement(probe_outputs(plain[0]), probe_outputs(compiled[0]))
            times = seconds_in_turns(plain[0], compiled[0])
            finding = XlaFinding(times[0] / times[1], cosine, seconds)
            self._store(finding)
            summary = f"{finding.speedup:.2f} times as fast (cosine {cosine:.4f}), compiled in {seconds:.0f} s"
            if not (replace(finding, speedup=MIN_SPEEDUP) if always else finding).is_useful(plain[0].precision):
                logger.info("XLA is not used: %s", summary)
                return
            compiled += [self._compile_one(one) for one in plain[1:]]
            for replica, before, after in zip(self._replicas, plain, compiled, strict=True):
                replica.swap(before, after)
            self.swapped = True
            logger.info("XLA is used from now on: %s", summary)
        except StreamcamError as error:
            logger.warning("XLA is not used: %s", error)
        except Exception as error:  # any failure of the compiler leaves the plain graph
            logger.warning("XLA is not used: %s", error_summary(error))
        finally:
            plain, compiled = [], []
            gc.collect()  # a TensorFlow graph has reference cycles, and holds several copies of the weights

    def _compile_one(self, plain: Executable) -> Executable:
        compiled = self._load(plain)
        for _ in range(COMPILING_RUNS):
            compiled.warm_up()
        return compiled


def compile_in_background(
    replicas: Sequence[DeviceReplica], tuned: TunedMethod, cache: CompileCache, key: Callable[[], str]
) -> BackgroundXla | None:
    """Return the background compilation of replicas; None where it does not apply.

    That is on a CPU, and for methods of many passes.

    Args:
        replicas: the method on each device.
        tuned: the method.
        cache: keeps what was measured.
        key: returns that of the method in the cache; empty keeps nothing.
    """
    if tuned.method.passes is not None or not all(has_xla(replica.device) for replica in replicas):
        return None
    method_key = key()
    xla_key = cache.cache_key("xla", method_key) if method_key else ""
    text = cache.get_text(xla_key)
    return BackgroundXla(
        replicas,
        lambda plain: tuned.method.load(plain.device, tuned.precision, xla=True),
        finding=None if text is None else XlaFinding(**json.loads(text)),
        num_operations=len(tuned.method.first.graph_def.node),
        store=lambda finding: cache.put_text(xla_key, json.dumps(asdict(finding))),
    )


def has_xla(device: str) -> bool:
    """Return True for a GPU; a CPU keeps the plain graph, which oneDNN runs."""
    return device.startswith("gpu")


@functools.cache
def _survive_exit() -> None:
    """Skip destructors if the process ends during a compilation.

    TensorFlow cannot interrupt a compilation. The C library would destroy objects that it uses, and the process
    would end with SIGSEGV in place of its own status.
    """
    atexit.register(_skip_destructors)


def _skip_destructors() -> None:
    if sys.platform == "linux" and any(thread.name == THREAD_NAME for thread in threading.enumerate()):
        c_library = ctypes.CDLL(None)
        # Called first of all handlers, with the exit status. Python has flushed its files by then.
        c_library.on_exit(c_library._exit, None)
        # Up to Python 3.13 a thread that returns from TensorFlow during the shutdown aborts the process: let it wait.
        c_library.signal(signal.SIGABRT, c_library.pause)
