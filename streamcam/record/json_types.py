"""Check values from JSON against type annotations."""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def has_type(value: Any, kind: Any) -> bool:
    """Return True if a value from JSON has a type.

    Tuples are lists there, and objects of dataclasses are mappings with all of their fields.

    Args:
        value: from JSON.
        kind: an annotation: a plain type, ``Literal``, a union, a tuple, ``Mapping[str, …]``, a dataclass or `Any`.
    """
    origin, members = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return isinstance(value, str) and value in members
    if origin in (Union, types.UnionType):
        return any(has_type(value, one) for one in members)
    if origin is tuple:
        kinds = [members[0]] * len(value) if isinstance(value, list) and members[-1] is Ellipsis else members
        return isinstance(value, list) and len(value) == len(kinds) and all(map(has_type, value, kinds))
    if origin is Mapping:
        return isinstance(value, dict) and all(has_type(one, members[1]) for one in value.values())
    if isinstance(kind, type) and is_dataclass(kind):
        return has_types(value, _field_types(kind))
    if isinstance(value, bool):  # which Python counts among the integers
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def has_types(value: Any, kinds: Mapping[str, Any]) -> bool:
    """Return True for a mapping with keys of these types."""
    return isinstance(value, dict) and all(
        name in value and has_type(value[name], kind) for name, kind in kinds.items()
    )


@functools.cache
def _field_types(kind: Hashable) -> Mapping[str, Any]:
    return get_type_hints(kind)
