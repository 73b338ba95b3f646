"""Options that several commands have, declared once."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, TypeAlias

import typer

from ..errors import OptionError
from .inputs import parse_key_values

MODEL_PANEL, DRAW_PANEL = "Model and method", "Look"


def _option(help_text: str, panel: str, **more: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel, **more)


Model: TypeAlias = Annotated[
    str,
    _option(
        "efficientnet-lite0, a keras.applications name, a .keras/.h5 file, a SavedModel folder, or "
        "package.module:function.",
        MODEL_PANEL,
    ),
]
Method: TypeAlias = Annotated[str, _option("streamcam methods lists them; or package.module:function.", MODEL_PANEL)]
Param: TypeAlias = Annotated[
    list[str] | None, _option("NAME=VALUE of the method's own; repeatable, such as steps=64.", MODEL_PANEL)
]
Layer: TypeAlias = Annotated[str, _option("Target layer, or auto; see streamcam layers MODEL.", MODEL_PANEL)]
Target: TypeAlias = Annotated[
    list[str] | None,
    _option(
        "What to explain; repeatable: top, a class name or index, a contrast 'tabby - tiger cat', or "
        "package.module:function of the logits.",
        MODEL_PANEL,
        show_default="top",
    ),
]
Preprocess: TypeAlias = Annotated[
    str,
    _option("auto, none, 0..1, -1..1, a keras.applications family, or package.module:function.", MODEL_PANEL),
]
Labels: TypeAlias = Annotated[str, _option("auto, imagenet, or a text file with one class a line.", MODEL_PANEL)]
ImageInput: TypeAlias = Annotated[str, _option("Input that takes the pictures, for models with several.", MODEL_PANEL)]
ExtraInput: TypeAlias = Annotated[
    list[str] | None,
    _option(
        "NAME=VALUE for another input; repeatable: a number, a JSON list, a .npy file, or "
        "package.module:function of the pictures.",
        MODEL_PANEL,
    ),
]
Fit: TypeAlias = Annotated[
    str, _option("How a frame fits the model's input: auto, stretch, crop, letterbox or native.", MODEL_PANEL)
]
Precision: TypeAlias = Annotated[
    str, _option("auto, float32, bfloat16 (processors) or float16 (graphics cards).", MODEL_PANEL)
]
Device: TypeAlias = Annotated[str, _option("auto, all, cpu, gpu:0, or several with commas.", MODEL_PANEL)]
Colormap: TypeAlias = Annotated[str, _option("turbo, jet, viridis, inferno or magma.", DRAW_PANEL)]
Alpha: TypeAlias = Annotated[float, _option("Opacity where the evidence is full, 0 to 1.", DRAW_PANEL)]
Layout: TypeAlias = Annotated[str, _option("overlay, side-by-side or heatmap.", DRAW_PANEL)]
Caption: TypeAlias = Annotated[bool, _option("Class, probability, method and layer in a corner.", DRAW_PANEL)]


def model_options(
    *,
    model: str,
    method: str,
    param: list[str] | None,
    layer: str,
    target: list[str] | None,
    preprocess: str,
    labels: str,
    image_input: str,
    extra_input: list[str] | None,
    fit: str,
    batch: str,
    precision: str,
    device: str,
) -> dict[str, Any]:
    """What the options about the model say, by the names of the fields of `ModelOptions` and `ExplainOptions`."""
    return {
        "model": model,
        "method": method,
        "params": parse_key_values("--param", param),
        "layer": layer,
        "target": tuple(target or ("top",)),
        "preprocess": preprocess,
        "labels": labels,
        "image_input": image_input,
        "extra_input": parse_key_values("--extra-input", extra_input),
        "fit": fit,
        "batch": _parse_batch(batch),
        "precision": precision,
        "device": device,
    }


def parse_scale(text: str) -> str | float:
    """``--scale``: a word or a number."""
    try:
        return float(text)
    except ValueError:
        return text


_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str | None) -> Fraction | None:
    """``90``, ``90s``, ``1.5m``, ``2h``, ``1:30`` or ``0:01:30.5`` as seconds.

    Raises:
        OptionError: it is none of these.
    """
    if text is None:
        return None
    try:
        if text[-1:] in _UNITS:
            return Fraction(text[:-1]) * _UNITS[text[-1]]
        hours, minutes, rest = ["0"] * (2 - text.count(":")) + text.split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(rest)
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"{text!r} is not a time", expected="seconds or h:m:s, such as 90, 10m, 1:30 or 0:01:30.5"
        ) from None


def _parse_batch(text: str) -> int:
    if text == "auto":
        return 0
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"--batch {text!r} is not possible", expected="auto or a number") from None
