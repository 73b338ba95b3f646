"""Reference pages in Markdown, made from the code: commands and options, addresses of the API, metrics."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from streamcam.cli.app import app

_PLACEHOLDERS = {bool: "", float: "NUMBER", int: "INTEGER", str: "TEXT", Path: "FILE"}
_LONG = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def command_reference() -> str:
    """Return the page of all commands, options, defaults and choices, read from the functions behind the commands."""
    lines = [
        "---",
        "description: Every command and option, with defaults and choices, generated from the code.",
        "---",
        "",
        "# Command line",
        "",
        "`streamcam COMMAND --help` prints the same. A *repeatable* option can be given several times.",
        "",
        "| command | does |",
        "| --- | --- |",
    ]
    callbacks = [info.callback for info in app.registered_commands if info.callback is not None]
    for callback in callbacks:
        name = _command_name(callback)
        lines.append(f"| [`streamcam {name}`](#streamcam-{name}) | {_cell(_first_sentence(callback.__doc__ or ''))} |")
    lines += ["", "## Exit codes", "", *_EXIT_CODES]
    for callback in callbacks:
        lines += ["", *_command(callback)]
    return "\n".join(lines) + "\n"


_EXIT_CODES = (
    "| code | meaning |",
    "| ---: | --- |",
    "| 0 | done |",
    "| 1 | failed; one line on stderr names the problem, the expected value and a hint |",
    "| 2 | usage: unknown option, or a value that it does not take |",
    "| 130 | interrupted by Ctrl-C; the output so far is closed and plays |",
)


@dataclass(frozen=True, slots=True)
class CommandParameter:
    """One argument or option of a command.

    Attributes:
        info: what the command tells typer about it.
        names: its spellings, the long one first; the metavar of an argument.
        value: its choices or what stands for its value; ``switch`` for a flag.
        default: as a table cell.
        repeatable: True if it can be given several times.
    """

    info: OptionInfo | ArgumentInfo
    names: tuple[str, ...]
    value: str
    default: str
    repeatable: bool

    @property
    def panel(self) -> str:
        """The heading under which ``--help`` lists it."""
        return self.info.rich_help_panel or "General"


def command_parameters(callback: Callable[..., Any]) -> list[CommandParameter]:
    """Return the arguments and options of a command's function, in its order."""
    found = []
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        kind, *extra = get_args(parameter.annotation)
        info = next(one for one in extra if isinstance(one, (OptionInfo, ArgumentInfo)))
        if not info.hidden:
            found.append(_parameter(parameter.name, kind, info, parameter.default))
    return found


def _parameter(name: str, kind: Any, info: OptionInfo | ArgumentInfo, default: Any) -> CommandParameter:
    kinds = [
        one for one in (get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)) if one is not NoneType
    ]
    repeatable = get_origin(kinds[0]) is list
    if repeatable:
        kinds = list(get_args(kinds[0]))
    choices = [str(choice) for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    if not choices:
        choices = (info.metavar or _PLACEHOLDERS[kinds[0]]).split("|")
    if isinstance(info, ArgumentInfo):
        names: tuple[str, ...] = (info.metavar or name.upper(),)
    else:
        # In an annotation, typer takes the first spelling for the default.
        decls = (info.default, *(info.param_decls or ()))
        given = tuple(name for one in decls if isinstance(one, str) and one.startswith("-") for name in one.split("/"))
        long = f"--{name.replace('_', '-')}"
        names = given or ((long, f"--no-{long[2:]}") if kinds == [bool] else (long,))
        names = tuple(sorted(names, key=lambda one: not one.startswith("--")))
    value = "switch" if kinds == [bool] else ", ".join(f"`{choice}`" for choice in choices)
    return CommandParameter(info, names, value, _default(default, info, switch=kinds == [bool]), repeatable)


def _command_name(callback: Callable[..., Any]) -> str:
    return callback.__name__.replace("_", "-")


def _command(callback: Callable[..., Any]) -> Iterator[str]:
    path = f"streamcam {_command_name(callback)}"
    parameters = command_parameters(callback)
    arguments = [one for one in parameters if isinstance(one.info, ArgumentInfo)]
    usage = " ".join([path, "[OPTIONS]", *(one.names[0] for one in arguments)])
    yield from (f"## {path}", "", *_paragraphs(callback.__doc__ or ""), "", "```text", usage, "```", "")
    if arguments:
        yield from ("| argument | default | what it is |", "| --- | --- | --- |")
        for one in arguments:
            yield f"| {_cell(f'`{one.names[0]}`')} | {_cell(one.default)} | {_help(one.info)} |"
        yield ""
    panels: dict[str, list[CommandParameter]] = {}
    for one in parameters:
        if isinstance(one.info, OptionInfo):
            panels.setdefault(one.panel, []).append(one)
    for title, members in panels.items():
        yield from (f"### {title} {{ #{_slug(path, title)} }}", "")
        yield from ("| option | value | default | what it does |", "| --- | --- | --- | --- |")
        for one in members:
            names = ", ".join(f"`{name}`" for name in one.names)
            value = _cell(one.value) + (", repeatable" if one.repeatable else "")
            yield f"| {names} | {value} | {_cell(one.default)} | {_help(one.info)} |"
        yield ""


def _slug(path: str, title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{path} {title}".lower())


def _default(value: Any, info: OptionInfo | ArgumentInfo, *, switch: bool) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if switch and value is not None:
        return "on" if value else "off"
    if value is None or value in ("", [], ()):
        return f"`{info.show_default}`" if isinstance(info.show_default, str) else "–"
    return f"`{value}`"


def _help(info: OptionInfo | ArgumentInfo) -> str:
    text = " ".join((info.help or "").split())
    if info.envvar:
        text += f" Environment variable: `{info.envvar}`."
    return _cell(_LONG.sub(r"`\1`", text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _first_sentence(text: str) -> str:
    return _LONG.sub(r"`\1`", inspect.cleandoc(text).partition("\n\n")[0].replace("\n", " "))


def _paragraphs(text: str) -> list[str]:
    return [_LONG.sub(r"`\1`", _cell(line)) for line in inspect.cleandoc(text).splitlines()]


def metrics_reference() -> str:
    """Return a table of all Prometheus metrics, read from the collector."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in collected_metrics():
        labels = sorted({label for sample in metric.samples for label in sample.labels} - {"le"})
        name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
        shown = ", ".join(f"`{label}`" for label in labels) or "–"
        lines.append(f"| `{name}` | {metric.type} | {shown} | {_cell(metric.documentation)} |")
    return "\n".join(lines)


def collected_metrics() -> list[Any]:
    """Return the metrics of a made-up run with one camera and one output."""
    from streamcam.live.status import CameraStatus, LatencyHistogram, OutputStatus, Settings, Status
    from streamcam.web.metrics import make_registry

    status = Status(
        (CameraStatus("door", "rtsp://192.0.2.7/stream", "live"),),
        (OutputStatus("door", "door.mp4", "running"),),
        Settings("gradcam", "auto", ("top",), 0.6, "turbo", True, "top-left"),
    )
    camera = SimpleNamespace(name="door", latency_histogram=LatencyHistogram(((0.1, 1),), 1, 0.05))
    run: Any = SimpleNamespace(status=lambda: status, handles={"door": camera})
    return list(make_registry(run).collect())


def routes_reference() -> str:
    """Return a table of the dashboard's addresses, read from its OpenAPI description."""
    from fastapi import FastAPI

    from streamcam.web import health, live

    application = FastAPI()
    for router in (live.router, health.router):
        application.include_router(router)
    lines = ["| address | answers |", "| --- | --- |"]
    for path, operations in application.openapi()["paths"].items():
        for method, operation in operations.items():
            summary = _first_sentence(operation.get("description", operation.get("summary", "")))
            lines.append(f"| `{method.upper()} {path}` | {_cell(summary)} |")
    lines.append("| `GET /cameras/{name}/stream.mjpg` | Stream a camera as Motion JPEG. |")
    return "\n".join(lines)
