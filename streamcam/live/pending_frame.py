"""A camera's frame on its way to the screen, past the model or by way of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..frames import ExplainedFrame, Frame, SourceInfo
    from .inference import ModelBinding


class ResultListener(Protocol):
    """Whoever wants to know what became of a frame."""

    def on_resolved(self, pending: PendingFrame) -> None:
        """The model has looked at the frame, or will not; called once, in any thread."""
        ...


@dataclass(slots=True, eq=False)
class PendingFrame:
    """One frame of one camera.

    Attributes:
        camera: its name.
        info: what the frame is a picture of.
        frame: the frame.
        binding: how the model is to look at it; None while that is not known.
        listener: told when it is settled.
        is_pending: True until it is settled.
        explained: what the model says of it; None while waiting, and where it did not look.
    """

    camera: str
    info: SourceInfo
    frame: Frame
    binding: ModelBinding | None
    listener: ResultListener
    is_pending: bool = True
    explained: ExplainedFrame | None = field(default=None, repr=False)

    def resolve(self, explained: ExplainedFrame | None) -> None:
        """Tells what the model says; None where it will not look."""
        self.explained = explained
        self.is_pending = False
        self.listener.on_resolved(self)
