"""The playlist of an HLS output: what a restart, a player and RFC 8216 need besides FFmpeg's own.

FFmpeg's muxer writes the list; `Playlist.finish_text` completes each version before it reaches the disk. A list that
streamcam wrote is recognised by its comment and continued: the media sequence goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
from pathlib import Path

from ...errors import SinkError

TARGET_SECONDS = 2
"""Length of a segment, and the playlist's ``EXT-X-TARGETDURATION``."""

MAX_SEGMENT_SECONDS = TARGET_SECONDS + 0.5
"""A segment must be shorter: its rounded length may not exceed the target."""

_AVIO_WRITE = 2  # AVIO_FLAG_WRITE
_COMMENT = "# written by streamcam"
_SEQUENCE, _DISCONTINUITY, _DISCONTINUITY_SEQUENCE = (
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-DISCONTINUITY-SEQUENCE:",
)
_LISTED_SEGMENTS = 6
_MIN_SEGMENT_SECONDS = 0.1
"""FFmpeg begins a segment at each keyframe after this time."""

_KEPT_SEGMENTS = 2
"""Segments that left the list and stay on the disk: players may still load them."""


class BusyError(SinkError):
    """Another process writes the playlist; it may end soon."""


class Playlist:
    """An HLS playlist on the disk, and its segments.

    Args:
        path: absolute, of the ``.m3u8`` file.

    Attributes:
        is_complete: set before the last version is written; it then ends with ``EXT-X-ENDLIST``.
    """

    def __init__(self, path: Path) -> None:
        self.is_complete = False
        self._path = path
        self._lock_path, self._lock = path.with_name(f".{path.name}.lock"), -1
        self._num_discontinuities = 0
        self._discontinuities: set[int] = set()
        self._next_to_delete = 0

    def lock(self) -> None:
        """Reserve the playlist for this process, until `unlock` or its end.

        Raises:
            BusyError: another process writes it.
            OSError: the lock's file cannot be created.
        """
        while True:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The process that held it may have deleted the file meanwhile.
                if os.path.samestat(os.fstat(descriptor), os.stat(self._lock_path)):
                    self._lock = descriptor
                    return
            except BlockingIOError:
                os.close(descriptor)
                raise BusyError(f"{self._path} is written by another process") from None
            except FileNotFoundError:
                pass
            os.close(descriptor)

    def unlock(self) -> None:
        """Let other processes continue the playlist."""
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def exists(self) -> bool:
        """Return True if there is a playlist to continue: one that streamcam wrote."""
        return is_own_playlist(self._path)

    def muxer_options(self) -> dict[str, str]:
        """Return FFmpeg's options.

        A segment begins at each keyframe; an existing list is continued.
        """
        # The first new segment of a continued list begins with a discontinuity.
        append = "+append_list" if self.exists() else ""
        return {
            "hls_time": str(_MIN_SEGMENT_SECONDS),
            "hls_list_size": str(_LISTED_SEGMENTS),
            "hls_flags": f"independent_segments+omit_endlist+temp_file{append}",
            "hls_segment_filename": str(self._path.with_suffix("")).replace("%", "%%") + "-%05d.ts",
        }

    def delete_orphans(self) -> None:
        """Delete a killed process's segments that the list does not name."""
        if not self.exists():
            return
        lines = self._path.read_text(errors="replace").splitlines()
        first, listed = _first_number(lines), {line for line in lines if not line.startswith("#")}
        self._next_to_delete = max(0, first - _KEPT_SEGMENTS)
        orphan = re.compile(rf"{segment_pattern(self._path)}(\.tmp)?")
        for name in os.listdir(self._path.parent):
            match = orphan.fullmatch(name)
            if match and name not in listed and not first - _KEPT_SEGMENTS <= int(match["number"]) < first:
                self._delete(name)

    def text_to_continue(self) -> bytes:
        """Return the list as FFmpeg's muxer can continue it.

        The muxer would take the count of discontinuities for one more of them.
        """
        lines = self._path.read_text(errors="replace").splitlines()
        for line in lines:
            if line.startswith(_DISCONTINUITY_SEQUENCE):
                self._num_discontinuities = int(line.removeprefix(_DISCONTINUITY_SEQUENCE))
        kept = [line for line in lines if not line.startswith((_DISCONTINUITY_SEQUENCE, _COMMENT))]
        self._discontinuities = _discontinuities(kept)
        return ("\n".join(kept) + "\n").encode()

    def finish_text(self, data: bytes) -> bytes:
        """Complete a version of the list before it is written.

        Segments that left it are deleted.

        Args:
            data: as FFmpeg's muxer wrote it.
        """
        lines = data.decode(errors="replace").splitlines()
        first = _first_number(lines)
        self._num_discontinuities += sum(number < first for number in self._discontinuities)
        self._discontinuities = _discontinuities(lines)
        longest = max((float(line[8:].rstrip(",")) for line in lines if line.startswith("#EXTINF:")), default=0.0)
        finished = []
        for line in lines:
            if line.startswith("#EXT-X-TARGETDURATION:"):
                line = f"#EXT-X-TARGETDURATION:{max(TARGET_SECONDS, round(longest))}"
            finished.append(line)
            if line == "#EXTM3U":
                finished.append(_COMMENT)
            if line.startswith(_SEQUENCE) and self._num_discontinuities:
                finished.append(f"{_DISCONTINUITY_SEQUENCE}{self._num_discontinuities}")
        if self.is_complete:
            finished.append("#EXT-X-ENDLIST")
        self._delete_before(first - _KEPT_SEGMENTS)
        return ("\n".join(finished) + "\n").encode()

    def _delete_before(self, number: int) -> None:
        """Delete the segments before this number that were listed since the start."""
        for one in range(self._next_to_delete, number):
            self._delete(f"{self._path.stem}-{one:05}.ts")
        self._next_to_delete = max(self._next_to_delete, number)

    def _delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.with_name(name).unlink()


class UnbufferedFile:
    """A file for FFmpeg that raises write errors at once.

    FFmpeg's HLS muxer would ignore them and go on.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        return len(data)

    def close(self) -> None:
        """Close the descriptor if it was opened here."""
        os.close(self._descriptor)


class _PlaylistFile:
    """A version of the playlist, completed and written when FFmpeg closes it.

    Args:
        descriptor: of the file.
        playlist: completes the text.
    """

    def __init__(self, descriptor: int, playlist: Playlist) -> None:
        self._file, self._playlist = UnbufferedFile(descriptor), playlist
        self._data = b""

    def write(self, data: bytes) -> int:
        """Keep the data until the end."""
        self._data += data
        return len(data)

    def close(self) -> None:
        """Write the list."""
        try:
            self._file.write(self._playlist.finish_text(self._data))
        finally:
            self._file.close()


def open_file(playlist: Playlist, path: str, flags: int, options: dict[str, str]) -> object:
    """Open a file of an HLS output for FFmpeg; bind the first argument to get PyAV's ``io_open``."""
    if not flags & _AVIO_WRITE:
        return io.BytesIO(playlist.text_to_continue())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    is_segment = path.removesuffix(".tmp").endswith(".ts")
    return UnbufferedFile(descriptor) if is_segment else _PlaylistFile(descriptor, playlist)


def is_own_playlist(path: Path) -> bool:
    """Return True for a playlist that streamcam wrote."""
    try:
        with path.open("rb") as file:
            return file.read(100).splitlines()[:2] == [b"#EXTM3U", _COMMENT.encode()]
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}") from error


def segment_pattern(path: Path) -> str:
    """Return a regular expression of the segments' names.

    Its group ``number`` counts them.
    """
    return rf"{re.escape(path.stem)}-(?P<number>\d{{5,}})\.ts"


def _first_number(lines: list[str]) -> int:
    """Return the media sequence number of the first segment."""
    return next((int(line.removeprefix(_SEQUENCE)) for line in lines if line.startswith(_SEQUENCE)), 0)


def _discontinuities(lines: list[str]) -> set[int]:
    """Return the sequence numbers of segments that begin with a discontinuity."""
    number, found = _first_number(lines), set()
    for line in lines:
        if line == _DISCONTINUITY:
            found.add(number)
        elif line and not line.startswith("#"):
            number += 1
    return found
