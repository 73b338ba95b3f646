"""The examples are listed, documented and clean; ``make examples`` runs them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*/*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*/*.ipynb"))


def test_the_page_names_every_example() -> None:
    page = (ROOT / "docs" / "examples.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = set()
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row.split("|")[1])
        named |= {first, *(f"{Path(first).parent}/{one}" for one in others)}
    assert named == {str(path.relative_to(ROOT / "examples")) for path in (*SCRIPTS, *NOTEBOOKS)}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert code
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert content["metadata"]["kernelspec"]["name"] == "python3"  # the kernel that `make examples` installs


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_names_that_their_script_has(notebook: Path) -> None:
    script = notebook.with_suffix(".py")
    tree = ast.parse(script.read_text())
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            defined |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
    cells = json.loads(notebook.read_text())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert f"import {script.stem} as example" in source
    assert set(re.findall(r"\bexample\.(\w+)", source)) <= defined
