"""Pages that MkDocs makes at build time: the command reference, the list of decisions and ``llms.txt``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from streamcam.cli.app import app

_COMMANDS = "reference/cli.md"
_DECISIONS = "decisions/"
_LIST_MARK = re.compile(r"<!-- decisions: .*? -->")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_LONG = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference, and put every decision into the navigation."""
    files.append(File.generated(config, _COMMANDS, content=command_reference()))
    pages = sorted(
        (file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(_DECISIONS)),
        key=lambda uri: (not uri.endswith("/index.md"), uri),
    )
    for entry in config.nav or ():
        if "Decisions" in entry:
            entry["Decisions"] = pages
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """List the decisions on their index page, and keep each page's Markdown for ``llms.txt``."""
    if page.file.src_uri == f"{_DECISIONS}index.md":
        others = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(_DECISIONS))
        entries = [_decision(files, uri) for uri in others if uri != page.file.src_uri]
        markdown = _LIST_MARK.sub(lambda _: "\n".join(entries) or "No decisions yet.", markdown)
    page.meta["markdown"] = markdown
    return markdown


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Keep the navigation for `on_post_build`."""
    config.extra["streamcam_nav"] = nav


def on_post_build(config: MkDocsConfig) -> None:
    """Write ``llms.txt``, and beside each page its Markdown, which the file links to."""
    site = Path(config.site_dir)
    nav: Navigation = config.extra.pop("streamcam_nav")
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    home = nav.homepage
    if home is not None:
        lines += [_summary(home), ""]
    section = None
    for page in nav.pages:
        if page is home:
            continue
        name = page.parent.title if page.parent is not None else "Docs"
        if name != section:
            lines += ["" if lines[-1] else "", f"## {name}", ""] if lines[-1] else [f"## {name}", ""]
            section = name
        lines.append(f"- [{page.title}]({page.file.src_uri}): {_summary(page)}")
    for page in nav.pages:
        path = site / page.file.src_uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.meta.get("markdown", ""), encoding="utf-8")
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _summary(page: Page) -> str:
    return str(page.meta.get("description") or page.title)


def _decision(files: Files, uri: str) -> str:
    file = files.get_file_from_path(uri)
    assert file is not None
    title = _TITLE.search(file.content_string)
    return f"- [{title[1] if title else Path(uri).stem}]({uri.removeprefix(_DECISIONS)})"


def command_reference() -> str:
    """Return the page of all commands, options, defaults and choices, read from the command line's own parser."""
    group: Any = typer.main.get_command(app)
    lines = [
        "---",
        "description: Every command and option, with defaults and choices, generated from the code.",
        "---",
        "",
        "# Command line",
        "",
        "`streamcam COMMAND --help` prints the same. A `repeatable` option can be given several times.",
        "",
        "| command | does |",
        "| --- | --- |",
    ]
    for name, command in group.commands.items():
        lines.append(f"| [`streamcam {name}`](#streamcam-{name}) | {_cell(_first_sentence(command.help or ''))} |")
    lines += ["", "## Exit codes", "", *_exit_codes()]
    for name, command in group.commands.items():
        lines += ["", *_command(f"streamcam {name}", command)]
    return "\n".join(lines) + "\n"


def _exit_codes() -> Iterator[str]:
    yield from (
        "| code | meaning |",
        "| ---: | --- |",
        "| 0 | done |",
        "| 1 | failed; one line on stderr names the problem, the expected value and a hint |",
        "| 2 | usage: unknown option, or a value it does not take |",
        "| 130 | interrupted by Ctrl-C; the output so far is closed and plays |",
    )


@dataclass(frozen=True, slots=True)
class _Row:
    panel: str
    cells: tuple[str, str, str, str]


def _command(path: str, command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield from (f"## {path}", "", *_paragraphs(command.help or ""), "", "```text", usage, "```", "")
    arguments = [p for p in command.get_params(context) if p.param_type_name == "argument"]
    options = [p for p in command.get_params(context) if p.param_type_name == "option" and not _is_hidden(p)]
    if arguments:
        yield from ("| argument | default | what it is |", "| --- | --- | --- |")
        for argument in arguments:
            yield f"| `{argument.make_metavar(context)}` | {_default(argument, context)} | {_help(argument)} |"
        yield ""
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "General", []).append(option)
    for title, members in panels.items():
        yield from (f"### {title} {{ #{_slug(path, title)} }}", "")
        yield from ("| option | value | default | what it does |", "| --- | --- | --- | --- |")
        for option in members:
            yield f"| {_names(option)} | {_value(option, context)} | {_default(option, context)} | {_help(option)} |"
        yield ""


def _is_hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def _slug(path: str, title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{path} {title}".lower())


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    return ", ".join(f"`{name}`" for name in sorted(names, key=lambda name: not name.startswith("--")))


def _value(option: Any, context: Any) -> str:
    if option.is_flag:
        return "switch"
    choices = getattr(option.type, "choices", None)
    shown = ", ".join(f"`{choice}`" for choice in choices) if choices else f"`{option.make_metavar(context)}`"
    return _cell(shown) + (", repeatable" if option.multiple else "")


def _default(parameter: Any, context: Any) -> str:
    value = parameter.get_default(context, call=False)
    if getattr(parameter, "required", False):
        return "required"
    if getattr(parameter, "is_flag", False):
        return "on" if value else "off"
    if value is None or value == "" or value == [] or value == () or callable(value):
        return "–"
    return _cell(f"`{getattr(value, 'value', value)}`")


def _help(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split())
    variable = getattr(parameter, "envvar", None)
    if variable:
        text += f" Environment: {variable}."
    return _cell(_LONG.sub(r"`\1`", text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _first_sentence(text: str) -> str:
    return inspect.cleandoc(text).partition("\n\n")[0].replace("\n", " ")


def _paragraphs(text: str) -> list[str]:
    return [_LONG.sub(r"`\1`", _cell(line)) for line in inspect.cleandoc(text).splitlines()]
