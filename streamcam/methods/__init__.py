"""Explanation methods: one pure function a file, with its paper and formula at the top.

A method takes a `MethodContext` and returns raw maps, ``float32 (N, h, w)``, neither resized nor normalised. A method
of several forward passes returns a `MultiPass` instead. The settings of a method are its keyword-only parameters; the
type of each default is the type of the parameter.

To add a method, write its file and add an entry to `METHODS`. A function outside the package works without one, as
``package.module:function``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MethodError, ModelError, OptionError, UnknownMethodError, did_you_mean
from ..frames import MAP_KINDS, MapKind
from ..imports import import_function, is_function_path
from .context import Maps, Method, MethodContext, MultiPass, Tensor

__all__ = [
    "METHODS",
    "Maps",
    "Method",
    "MethodContext",
    "MethodInfo",
    "MultiPass",
    "Tensor",
    "load_method",
    "method_map_kind",
    "method_name",
    "parameters",
]


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A registry entry; `streamcam methods` prints it.

    Attributes:
        function: ``package.module:function``.
        summary: meaning of a map.
        cost: forward passes of the model per frame.
        paper: source of the formula.
        map_kind: how its maps are shown.
    """

    function: str
    summary: str
    cost: str
    paper: str
    map_kind: MapKind = "heat"


METHODS: dict[str, MethodInfo] = {
    "gradcam": MethodInfo(
        "streamcam.methods.gradcam:gradcam",
        "positions that support the class",
        "1",
        "Selvaraju et al. 2017, arXiv:1610.02391",
    ),
    "gradcam++": MethodInfo(
        "streamcam.methods.gradcam_plus_plus:gradcam_plus_plus",
        "as gradcam, covers several objects of a class",
        "1",
        "Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    "hirescam": MethodInfo(
        "streamcam.methods.hirescam:hirescam",
        "contribution of each position to the logit",
        "1",
        "Draelos, Carin 2020, arXiv:2011.08891",
    ),
    "layercam": MethodInfo(
        "streamcam.methods.layercam:layercam",
        "contribution of each position, also of early layers",
        "1",
        "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
    ),
    "scorecam": MethodInfo(
        "streamcam.methods.scorecam:scorecam",
        "channels weighted by their score as a mask",
        "1 + channels (64)",
        "Wang et al. 2020, arXiv:1910.01279",
    ),
    "eigencam": MethodInfo(
        "streamcam.methods.eigencam:eigencam",
        "main component of the activations, for no class",
        "1",
        "Muhammad, Yeasin 2020, arXiv:2008.00299",
    ),
    "saliency": MethodInfo(
        "streamcam.methods.saliency:saliency",
        "sensitivity of the logit to each pixel",
        "about 3",
        "Simonyan et al. 2014, arXiv:1312.6034",
        "pixels",
    ),
    "gradient-x-input": MethodInfo(
        "streamcam.methods.gradient_x_input:gradient_x_input",
        "pixels for and against the class",
        "about 3",
        "Shrikumar et al. 2016, arXiv:1605.01713",
        "signed",
    ),
    "guided-backprop": MethodInfo(
        "streamcam.methods.guided_backprop:guided_backprop",
        "fine structure with positive gradients",
        "about 3",
        "Springenberg et al. 2015, arXiv:1412.6806",
        "relief",
    ),
    "guided-gradcam": MethodInfo(
        "streamcam.methods.guided_gradcam:guided_gradcam",
        "guided backprop weighted by Grad-CAM",
        "about 3",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        "pixels",
    ),
    "smoothgrad": MethodInfo(
        "streamcam.methods.smoothgrad:smoothgrad",
        "saliency averaged over noisy inputs",
        "1 + about 3 x steps (50)",
        "Smilkov et al. 2017, arXiv:1706.03825",
        "pixels",
    ),
    "integrated-gradients": MethodInfo(
        "streamcam.methods.integrated_gradients:integrated_gradients",
        "contribution of each pixel, relative to a black image",
        "1 + about 3 x steps (50)",
        "Sundararajan et al. 2017, arXiv:1703.01365",
        "signed",
    ),
    "occlusion": MethodInfo(
        "streamcam.methods.occlusion:occlusion",
        "drop of the logit when a patch is covered",
        "2 + patches",
        "Zeiler, Fergus 2014, arXiv:1311.2901",
    ),
    "activations": MethodInfo(
        "streamcam.methods.activations:activations", "activations of the layer, mean or one filter", "1", "-"
    ),
}


def load_method(name: str | Callable[..., Any], params: Mapping[str, Any] | None = None) -> Method:
    """Load a method and bind its parameters.

    Args:
        name: a name in `METHODS`, ``package.module:function``, or a function.
        params: values by parameter name; text is converted to the type of the default.

    Raises:
        MethodError: unknown method, or it cannot be imported.
        OptionError: unknown parameter, or a value of the wrong type.
    """
    function = _resolve_function(name)
    known = parameters(name)
    bound = {}
    for parameter, value in (params or {}).items():
        if parameter not in known:
            raise OptionError(
                f"unknown parameter {parameter!r} of method {method_name(name)}",
                expected=f"one of {', '.join(known)}" if known else "none",
                hint=did_you_mean(parameter, known),
            )
        bound[parameter] = _convert_value(f"{method_name(name)} {parameter}", value, known[parameter])
    method: Method = functools.partial(function, **bound) if bound else function
    return method


def parameters(name: str | Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a method with their defaults.

    Args:
        name: as for `load_method`.

    Raises:
        MethodError: as `load_method`.
    """
    signature = inspect.signature(_resolve_function(name))
    return {p.name: p.default for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def method_map_kind(name: str | Callable[..., Any]) -> MapKind:
    """Return how the maps of a method are shown.

    A function outside the package declares it by an attribute ``map_kind``; the default is ``heat``.

    Args:
        name: as for `load_method`.

    Raises:
        MethodError: as `load_method`, or an unknown ``map_kind``.
    """
    if isinstance(name, str) and name in METHODS:
        return METHODS[name].map_kind
    map_kind: MapKind = getattr(_resolve_function(name), "map_kind", "heat")
    if map_kind not in MAP_KINDS:
        raise MethodError(
            f"unknown map_kind {map_kind!r} of {method_name(name)}", expected=f"one of {', '.join(MAP_KINDS)}"
        )
    return map_kind


def method_name(name: str | Callable[..., Any]) -> str:
    """Return the name of a method for file names and messages: a function's name without its module."""
    return getattr(name, "__name__", type(name).__name__) if callable(name) else name.rpartition(":")[2]


def _resolve_function(name: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(name):
        return name
    info = METHODS.get(name)
    if info is not None:
        module, _, function = info.function.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found
    if is_function_path(name):
        try:
            return import_function(name)
        except ModelError as error:
            raise MethodError(str(error)) from error
    raise _unknown_method(name)


def check_method_name(name: str) -> None:
    """Check that a name is one in `METHODS` or ``package.module:function``; import nothing.

    Raises:
        UnknownMethodError: it is neither.
    """
    if name not in METHODS and not is_function_path(name):
        raise _unknown_method(name)


def _unknown_method(name: str) -> UnknownMethodError:
    return UnknownMethodError(
        f"unknown --method {name!r}",
        expected=f"one of {', '.join(METHODS)}, or package.module:function",
        hint=did_you_mean(name, METHODS),
    )


def _convert_value(name: str, value: Any, default: Any) -> Any:
    """Convert command-line text to the type of the parameter's default."""
    kind = type(default) if isinstance(default, (bool, int, float, str)) else None
    if not isinstance(value, str) or kind is str:
        return value
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        number = float(value)
        if kind is int or (kind is None and number.is_integer()):
            if not number.is_integer():
                raise ValueError
            return int(number)
        return number
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number"}.get(kind, "a number")  # type: ignore[arg-type]
        raise OptionError(f"invalid {name}={value!r}", expected=expected) from None
