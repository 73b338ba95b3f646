"""Pages that MkDocs makes at build time: the references, the list of decisions and ``llms.txt``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import docs_reference

_COMMANDS = "reference/cli.md"
_DECISIONS = "decisions/"
_LIST_MARK = re.compile(r"<!-- decisions: .*? -->")
_GENERATED = {
    "<!-- generated: metrics -->": docs_reference.metrics_reference,
    "<!-- generated: routes -->": docs_reference.routes_reference,
}
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference, and put every decision into the navigation."""
    files.append(File.generated(config, _COMMANDS, content=docs_reference.command_reference()))
    pages = sorted(
        (file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(_DECISIONS)),
        key=lambda uri: (not uri.endswith("/index.md"), uri),
    )
    for entry in config.nav or ():
        if "Decisions" in entry:
            entry["Decisions"] = pages
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated, and keep each page's Markdown for ``llms.txt``."""
    if page.file.src_uri == f"{_DECISIONS}index.md":
        others = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(_DECISIONS))
        entries = [_decision(files, uri) for uri in others if uri != page.file.src_uri]
        markdown = _LIST_MARK.sub(lambda _: "\n".join(entries) or "No decisions yet.", markdown)
    for mark, make in _GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
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
    sections: dict[str, list[Page]] = {}
    for page in nav.pages:
        if page is not home:
            sections.setdefault(page.parent.title if page.parent is not None else "Docs", []).append(page)
    for name, pages in sections.items():
        lines += [f"## {name}", ""]
        lines += [f"- [{page.title}]({page.file.src_uri}): {_summary(page)}" for page in pages]
        lines.append("")
    for page in nav.pages:
        path = site / page.file.src_uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.meta.get("markdown", ""), encoding="utf-8")
    (site / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _summary(page: Page) -> str:
    return str(page.meta.get("description") or page.title)


def _decision(files: Files, uri: str) -> str:
    file = files.get_file_from_path(uri)
    assert file is not None
    title = _TITLE.search(file.content_string)
    return f"- [{title[1] if title else Path(uri).stem}]({uri.removeprefix(_DECISIONS)})"
