"""Pages that MkDocs makes at build time: the references and ``llms.txt``."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import docs_reference

_COMMANDS = "reference/cli.md"
_GENERATED = {
    "<!-- generated: metrics -->": docs_reference.metrics_reference,
    "<!-- generated: routes -->": docs_reference.routes_reference,
}
_NAV, _MARKDOWN = "streamcam_nav", "streamcam_markdown"
"""Keys below ``extra`` for what later events need."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference."""
    files.append(File.generated(config, _COMMANDS, content=docs_reference.command_reference()))
    config.extra[_MARKDOWN] = {}
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Keep the navigation for `on_post_build`."""
    config.extra[_NAV] = nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated, and keep the text for `on_post_build`."""
    for mark, make in _GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    config.extra[_MARKDOWN][page.file.src_uri] = markdown
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Write ``llms.txt``, and beside each page its Markdown, which the file links to."""
    site = Path(config.site_dir)
    nav: Navigation = config.extra.pop(_NAV)
    for uri, markdown in config.extra.pop(_MARKDOWN).items():
        (site / uri).write_text(markdown, encoding="utf-8")
    (site / "llms.txt").write_text(_llms(config, nav), encoding="utf-8")


def _llms(config: MkDocsConfig, nav: Navigation) -> str:
    """Return the site's overview for language models; https://llmstxt.org describes the form."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    home = nav.homepage
    if home is not None:
        lines += [_summary(home), ""]
    sections: dict[str, list[Page]] = {}
    for page in nav.pages:
        if page is not home:
            sections.setdefault(page.parent.title if page.parent is not None else "Docs", []).append(page)
    for name, pages in sections.items():
        lines += [f"## {name}", ""]
        lines += [f"- [{page.title}]({page.file.src_uri}): {_summary(page)}" for page in pages]
        lines.append("")
    return "\n".join(lines)


def _summary(page: Page) -> str:
    return str(page.meta.get("description") or page.title)
