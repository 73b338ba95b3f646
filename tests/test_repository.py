"""The papers of the repository agree with each other and with the code."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import grimp
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("[0-9]*.md"))
PAPERS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "samples/README.md")),
    DECISIONS / "index.md",
    *PAGES,
]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(paper: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", paper.read_text())
    files = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in files if not (paper.parent / link).exists()] == []


def test_the_landing_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 800


def test_the_animation_moves_and_is_small() -> None:
    path = ROOT / "docs" / "cockatoo.webp"
    assert path.stat().st_size < 3_000_000
    with Image.open(path) as image:
        assert image.n_frames > 20


def test_the_architecture_fits_on_a_few_screens() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


def test_the_architecture_states_the_import_contract() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    enforced = [{name.strip().removeprefix("streamcam.") for name in re.split("[|:]", layer)} for layer in layers]
    text = (ROOT / "ARCHITECTURE.md").read_text()
    documented = text.split("<!-- import order: begin -->")[1].split("<!-- import order: end -->")[0]
    shown = [
        {name.strip(" `") for name in re.split(r"[|\n]|`", layer) if name.strip(" `")}
        for layer in documented.split("→")
    ]
    assert shown == [layer for layer in enforced if layer != {"__main__"}]


def test_imports_for_types_point_downward_too() -> None:
    layers = next(c["layers"] for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    graph = grimp.build_graph("streamcam", cache_dir=None)  # with the imports under TYPE_CHECKING
    upward = graph.find_illegal_dependencies_for_layers([{n.strip() for n in layer.split("|")} for layer in layers])
    assert [(found.importer, found.imported) for found in upward] == []


def test_the_architecture_names_packages_that_exist() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Packages")[1].split("## ")[0]
    names = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert [name for name in names if not (ROOT / "streamcam" / name).exists()] == []
    top = {
        path.name for path in (ROOT / "streamcam").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert top - {name.rstrip("/") for name in names} == {"__init__.py", "__main__.py"}


def test_modules_log_through_notes() -> None:
    """Python prints what is logged where no handler is installed, and importing `notes` installs one."""
    direct = [path for path in (ROOT / "streamcam").rglob("*.py") if "getLogger(__name__)" in path.read_text()]
    assert direct == []


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_decision_has_date_status_code_and_evidence(page: Path) -> None:
    text = page.read_text()
    title = re.match(rf"# {page.name[:4]}: (.+)\n", text)
    date = re.search(r"^- Date: (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    status = re.search(r"^- Status: (Accepted|Experimental|Superseded by \d{4})$", text, re.MULTILINE)
    code = re.search(r"^- Code: (.+)$", text, re.MULTILINE)
    assert title is not None
    assert date is not None
    assert status is not None
    assert code is not None
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Evidence"]
    assert [path for path in re.findall("`([^`]+)`", code[1]) if not (ROOT / path).exists()] == []
    row = f"| {page.name[:4]} | [{title[1]}]({page.name}) | {date[1]} | {status[1]} |"
    assert row in (DECISIONS / "index.md").read_text()


def test_help_lists_every_target() -> None:
    makefiles = [ROOT / "Makefile", ROOT / "benchmarks" / "targets.mk"]
    targets = {
        name
        for path in makefiles
        for line in re.findall(r"^\.PHONY: (.+)$", path.read_text(), re.MULTILINE)
        for name in line.split()
    }
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"^  make (\S+)  +\S", shown, re.MULTILINE)) == targets


def test_ci_runs_every_python_that_is_supported() -> None:
    pythons = re.search(r"python: \[(.+)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert pythons is not None
    versions = [tuple(int(part) for part in version.strip(' "').split(".")) for version in pythons[1].split(",")]
    assert PYPROJECT["project"]["requires-python"] == f">=3.{versions[0][1]},<3.{versions[-1][1] + 1}"
    assert [minor for _, minor in versions] == list(range(versions[0][1], versions[-1][1] + 1))
