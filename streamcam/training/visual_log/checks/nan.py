"""``nan``: values that are not finite."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import count_of
from ..evidence import Evidence, Fault


def check_nan(evidence: Evidence) -> Iterator[Fault]:
    """Find the first stages with NaN or infinite values."""
    for chain in evidence.chains():
        stage = next((one for one in chain if one.not_finite[0]), None)
        if stage is not None:
            count, indices = stage.not_finite
            yield Fault(
                "nan",
                stage.name,
                f"{count_of(count, 'image')} of {stage.count} with NaN or infinite values, first here: the loss "
                "becomes NaN; look for a division by 0, a logarithm or a broken file",
                count,
                indices,
            )
