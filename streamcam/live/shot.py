"""A camera's frame on its way to the screen, past the model or by way of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..frames import Explained, Frame, SourceInfo
    from .lens import Optic


class Awaiting(Protocol):
    """Whoever wants to know what became of a frame."""

    def settled(self, shot: Shot) -> None:
        """The model has looked at the frame, or will not; called once, in any thread."""
        ...


@dataclass(slots=True, eq=False)
class Shot:
    """One frame of one camera.

    Attributes:
        camera: its name.
        info: what the frame is a picture of.
        frame: the frame.
        optic: how the model is to look at it; None while that is not known.
        awaiting: told when it is settled.
        waiting: True until it is settled.
        explained: what the model says of it; None while waiting, and where it did not look.
    """

    camera: str
    info: SourceInfo
    frame: Frame
    optic: Optic | None
    awaiting: Awaiting
    waiting: bool = True
    explained: Explained | None = field(default=None, repr=False)

    def settle(self, explained: Explained | None) -> None:
        """Tells what the model says; None where it will not look."""
        self.explained = explained
        self.waiting = False
        self.awaiting.settled(self)
