"""A camera's frame between its arrival and its map."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..frames import ExplainedFrame, Frame, SourceInfo
    from .model_binding import ModelBinding


class ResultListener(Protocol):
    """Receives frames once they are resolved."""

    def on_resolved(self, pending: PendingFrame) -> None:
        """Handle a frame that was explained, or dropped; called once for each frame, in any thread."""
        ...


@dataclass(slots=True, eq=False)
class PendingFrame:
    """One frame of one camera.

    Attributes:
        camera: the camera's name.
        info: properties of the frame's source.
        frame: the frame.
        binding: how the model explains it; None while that is not known.
        listener: is called when the frame is resolved.
        is_pending: True until it is resolved.
        explained: the result; None while pending, and for a dropped frame.
    """

    camera: str
    info: SourceInfo
    frame: Frame
    binding: ModelBinding | None
    listener: ResultListener
    is_pending: bool = True
    explained: ExplainedFrame | None = field(default=None, repr=False)

    def resolve(self, explained: ExplainedFrame | None) -> None:
        """Set the result, and call the listener; None for a dropped frame."""
        self.explained = explained
        self.is_pending = False
        self.listener.on_resolved(self)
