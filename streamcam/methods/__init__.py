"""Explanation methods: one pure function a file, each with its paper and formula on top.

A method takes a `Traced` pass of the model and returns raw maps, ``float32 (N, h, w)``: not resized, not normalised.
One that needs many passes returns `Steps` instead, which tell the engine what to look at and what becomes of it. A
method's own settings are its keyword-only parameters, and their defaults say what type they are.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MethodError, ModelError, OptionError, did_you_mean
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
    "method_display",
    "method_name",
    "parameters",
]


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A registry entry: where the function is, and what `streamcam methods` tells about it.

    Attributes:
        function: ``package.module:function``.
        summary: what a map means.
        cost: in forward passes of the model, a frame.
        paper: where the formula is from.
        display: how its maps are shown.
    """

    function: str
    summary: str
    cost: str
    paper: str
    display: MapKind = "heat"


def _builtin(module: str, summary: str, cost: str, paper: str, display: MapKind = "heat") -> MethodInfo:
    return MethodInfo(f"{__name__}.{module}:{module}", summary, cost, paper, display)


METHODS: dict[str, MethodInfo] = {
    "gradcam": _builtin(
        "gradcam", "where the layer supports the class", "1", "Selvaraju et al. 2017, arXiv:1610.02391"
    ),
    "gradcam++": _builtin(
        "gradcam_plus_plus",
        "the same, each of several objects in full",
        "1",
        "Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    "hirescam": _builtin("hirescam", "what each cell adds to the logit", "1", "Draelos, Carin 2020, arXiv:2011.08891"),
    "layercam": _builtin(
        "layercam",
        "what each cell adds, good for early layers too",
        "1",
        "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
    ),
    "scorecam": _builtin(
        "scorecam", "channels weighted by what they do alone", "1 + channels (64)", "Wang et al. 2020, arXiv:1910.01279"
    ),
    "eigencam": _builtin(
        "eigencam", "what the layer answers to most, for no class", "1", "Muhammad, Yeasin 2020, arXiv:2008.00299"
    ),
    "saliency": _builtin(
        "saliency",
        "pixels the logit is most sensitive to",
        "about 3",
        "Simonyan et al. 2014, arXiv:1312.6034",
        "pixels",
    ),
    "gradient-x-input": _builtin(
        "gradient_x_input",
        "pixels for and against the class",
        "about 3",
        "Shrikumar et al. 2016, arXiv:1605.01713",
        "signed",
    ),
    "guided-backprop": _builtin(
        "guided_backprop",
        "fine structure the network passes on",
        "about 3",
        "Springenberg et al. 2015, arXiv:1412.6806",
        "pixels",
    ),
    "guided-gradcam": _builtin(
        "guided_gradcam",
        "that structure, where Grad-CAM looks",
        "about 3",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        "pixels",
    ),
    "smoothgrad": _builtin(
        "smoothgrad",
        "sensitivity with its noise averaged out",
        "1 + about 3 x steps (50)",
        "Smilkov et al. 2017, arXiv:1706.03825",
        "pixels",
    ),
    "integrated-gradients": _builtin(
        "integrated_gradients",
        "each pixel's share of the logit, from black on",
        "1 + about 3 x steps (50)",
        "Sundararajan et al. 2017, arXiv:1703.01365",
        "signed",
    ),
    "occlusion": _builtin(
        "occlusion",
        "what the logit loses when a patch is hidden",
        "2 + patches",
        "Zeiler, Fergus 2014, arXiv:1311.2901",
    ),
    "activations": _builtin("activations", "what the layer answers, mean or one filter", "1", "-"),
}


def load_method(name: str | Callable[..., Any], params: Mapping[str, Any] | None = None) -> Method:
    """The function behind a name in `METHODS` or ``package.module:function``, or a function, its parameters bound.

    Raises:
        MethodError: there is no such method, or it cannot be imported.
        OptionError: it has no such parameter, or the value is of the wrong kind.
    """
    function = _resolve_function(name)
    known = parameters(name)
    bound = {}
    for parameter, value in (params or {}).items():
        if parameter not in known:
            raise OptionError(
                f"method {method_name(name)} has no parameter {parameter!r}",
                expected=f"one of {', '.join(known)}" if known else "none",
                hint=did_you_mean(parameter, known),
            )
        bound[parameter] = _convert_value(f"{method_name(name)} {parameter}", value, known[parameter])
    method: Method = functools.partial(function, **bound) if bound else function
    return method


def parameters(name: str | Callable[..., Any]) -> dict[str, Any]:
    """A method's own parameters and their defaults.

    Raises:
        MethodError: as `load_method`.
    """
    signature = inspect.signature(_resolve_function(name))
    return {p.name: p.default for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def method_display(name: str | Callable[..., Any]) -> MapKind:
    """How a method's maps are shown; a function from outside says so by an attribute ``display``, or is ``heat``.

    Raises:
        MethodError: as `load_method`, or its ``display`` is not known.
    """
    if isinstance(name, str) and name in METHODS:
        return METHODS[name].display
    display: MapKind = getattr(_resolve_function(name), "display", "heat")
    if display not in MAP_KINDS:
        raise MethodError(f"{method_name(name)} has the display {display!r}", expected=f"one of {', '.join(MAP_KINDS)}")
    return display


def method_name(name: str | Callable[..., Any]) -> str:
    """A method's name as it can stand in a file's: a function's without its module."""
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
    raise MethodError(
        f"--method {name!r} is not known",
        expected=f"one of {', '.join(METHODS)}, or package.module:function",
        hint=did_you_mean(name, METHODS),
    )


def _convert_value(what: str, value: Any, default: Any) -> Any:
    """Text from the command line, as what the parameter's default is."""
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
        raise OptionError(f"{what}={value!r} is not possible", expected=expected) from None
