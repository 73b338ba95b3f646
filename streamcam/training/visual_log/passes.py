"""Find where a stream of unknown length begins its second pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .elements import Images

MIN_REPEATED, MAX_REPEATED = 8, 32
"""Images that are the same again, in the same order, before they count as a second pass."""

MAX_PASS = 1 << 17
"""Images of a pass whose identity is kept."""


class PassGuard:
    """Pass the images of the first pass on.

    Images that equal the first ones, in the same order, are held back until it is known whether they are a second
    pass. Copies in a stream that ends are no second pass: see `end`.
    """

    def __init__(self) -> None:
        self.has_repeated = False
        self._keys: list[bytes] = []
        self._held: list[Images] = []

    def feed(self, found: Images) -> Iterator[Images]:
        """Yield the images to record now, one at a time.

        Args:
            found: the next images of the stream.
        """
        for one in found.split():
            if self.has_repeated:
                return
            yield from self._feed_one(one)

    def end(self) -> Iterator[Images]:
        """Yield the images held back, because the stream has ended."""
        if not self.has_repeated:
            yield from self._held
        self._held = []

    def _feed_one(self, one: Images) -> Iterator[Images]:
        key = hashlib.blake2b(one.images.tobytes(), digest_size=8).digest()
        period = len(self._keys)
        if self._held or (2 <= period < MAX_PASS and key == self._keys[0]):
            if key == self._keys[len(self._held) % period]:
                self._held.append(one)
                if len(self._held) >= min(max(period, MIN_REPEATED), MAX_REPEATED):
                    self.has_repeated = True
                    self._held = []
                return
            yield from self._held
            self._keys += [self._keys[number % period] for number in range(len(self._held))]
            self._held = []
        if len(self._keys) < MAX_PASS:
            self._keys.append(key)
        yield one
