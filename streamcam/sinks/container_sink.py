"""The base of sinks that write frame by frame: one lock, one failure, one end."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..errors import SinkError
from ..options import SinkOptions
from .output_file import OutputFile
from .salvage import WRITE_ERRORS, write_error

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame


class ContainerSink(ABC):
    """Open a container with the first frame; on failure keep what plays.

    See `streamcam.sinks.Sink`. Subclasses set `encoder`, and `_output` in `_open`.
    """

    encoder: str
    num_encoders = 1

    def __init__(self, options: SinkOptions) -> None:
        self.path = options.path
        self.num_frames = 0
        self.notes: list[str] = []
        self._suffix = options.path.suffix.lower()
        self._file = OutputFile(options.path, overwrite=options.overwrite)
        self._lock = threading.Lock()
        self._output: OutputContainer | None = None
        self._failure: SinkError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `streamcam.sinks.Sink`."""
        # After an interrupt another thread may still be writing a frame.
        with self._lock:
            try:
                if self._output is not None:
                    self._close(kind)
            finally:
                self._file.close()

    def write(
        self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = (), *, starts_chunk: bool = False
    ) -> bool:
        """See `streamcam.sinks.Sink`."""
        with self._writing():
            if self._output is None:
                self._open(frame, pts)
            is_written = self._write(frame, pts, packets, starts_chunk)
            self.num_frames += is_written
        return is_written

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one thread write at a time; close the file if it cannot be written."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                yield
            except WRITE_ERRORS as error:
                self._fail(error)

    @abstractmethod
    def _open(self, frame: VideoFrame, pts: int) -> None:
        """Reserve the file and open the container for such frames."""

    @abstractmethod
    def _write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...], starts_chunk: bool) -> bool:
        """Encode a frame; return False if the file cannot hold it."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the file and close the container."""

    @abstractmethod
    def _salvage(self) -> int:
        """Keep the part of the closed file that plays; count its frames."""

    def _close(self, kind: type[BaseException] | None) -> None:
        # If the block failed, its error is the one to report.
        with contextlib.nullcontext() if kind is None else contextlib.suppress(SinkError):
            try:
                self._finish()
                self._file.check_in_place()
            except WRITE_ERRORS as failure:
                self._fail(failure)
            except KeyboardInterrupt:
                # The file is closed, perhaps without the frames that were still in the encoder.
                self._abandon()
                raise
            finally:
                self._output = None

    def _fail(self, error: Exception) -> NoReturn:
        """Close the file, keep the part that plays, and raise."""
        self._abandon()
        self._failure = write_error(self.path, error, self.num_frames)
        raise self._failure from error

    def _abandon(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            with contextlib.suppress(*WRITE_ERRORS):
                output.close()
        self.num_frames = self._salvage()
