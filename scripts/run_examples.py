"""Run the scripts and notebooks of ``examples/``, one after another: ``make examples``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
HANGS_SECONDS = 600
OUT = ROOT / "demo" / "examples"


def main() -> int:
    """Run all, also after one has failed; return 1 if one has."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    failed = []
    for path in sorted([*EXAMPLES.glob("*/*.py"), *EXAMPLES.glob("*/*.ipynb")]):
        name = path.relative_to(ROOT)
        print(f"{name}", flush=True)
        started = time.monotonic()
        error = run_notebook(path) if path.suffix == ".ipynb" else run_script(path)
        print(f"{name}: {error or 'done'}, {time.monotonic() - started:.0f} s\n", flush=True)
        if error:
            failed.append(str(name))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run_script(path: Path) -> str:
    """Run a script with a folder for its files; return what is wrong, or an empty text."""
    command = [sys.executable, str(path), str(OUT / path.parent.name / path.stem)]
    try:
        code = subprocess.run(command, check=False, timeout=HANGS_SECONDS).returncode
    except subprocess.TimeoutExpired:
        return f"no end after {HANGS_SECONDS} s"
    return f"exit code {code}" if code else ""


def run_notebook(path: Path) -> str:
    """Execute a notebook in its folder, without changing the file; return what is wrong, or an empty text."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    try:
        NotebookClient(notebook, timeout=HANGS_SECONDS, kernel_name="python3", resources=resources).execute()
    except CellExecutionError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
