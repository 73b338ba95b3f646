# `make demo` and `make test` are all that a newcomer needs. Both make their own environment in .venv.
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach p,python3.12 python3.13 python3.11 python3,$(shell $(p) -c 'import sys; print("$(p)" if (3, 11) <= sys.version_info < (3, 14) else "")' 2>/dev/null)))
BIN := .venv/bin

##@ Start

.PHONY: help demo examples test test-fast test-all
help:  ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed  ## Annotate a sample clip; print the paths of the video and of a contact sheet
	@$(BIN)/python scripts/demo.py

examples: .venv/installed-examples  ## Run the scripts and notebooks of examples/; four minutes on 2 cores
	$(BIN)/python scripts/run_examples.py

test: .venv/installed-dev  ## Run the tests
	$(BIN)/python -m pytest

test-fast: .venv/installed-dev  ## Run the fast tests: no slow, browser or GPU ones; two minutes on 2 cores
	$(BIN)/python -m pytest -m "not slow and not browser and not gpu and not exhaustive" -p no:schemathesis --ignore tests/web/test_api_fuzz.py

test-all: .venv/installed-dev  ## Run all tests, with every combination of parameters
	$(BIN)/python -m pytest -m ""

.PHONY: faults
faults: .venv/installed-dev  ## Run all kills, signals, disk and cache faults; the tests run a part
	$(BIN)/python -m pytest -m "" tests/faults

##@ Develop

.PHONY: check fuzz format wheels hooks clean
check: .venv/installed-dev  ## Check lint, format, types and import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: .venv/installed-dev  ## Process 8,400 damaged files; report aborts, hangs, foreign errors, memory, lost frames
	$(BIN)/python -m tests.fuzz --report fuzz.json

format: .venv/installed-dev  ## Format the code and apply safe lint fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

wheels: .venv/bin/python  ## Build the wheel of this platform, for all Pythons, into dist/
	rm -rf build  # files of earlier builds would be in the wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

hooks: .venv/installed-dev  ## Install the git hooks of .pre-commit-config.yaml
	$(BIN)/pre-commit install

clean:  ## Remove the environment and all that is built
	rm -rf .venv demo dist site benchmarks/work .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build *.egg-info

##@ Documentation

.PHONY: docs gallery methods-sheet readme-animation
docs: .venv/installed-docs  ## Build the documentation site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

gallery: .venv/installed  ## Make the images of the gallery and the tutorial
	$(BIN)/python scripts/gallery.py
	$(BIN)/python scripts/tutorial_clip.py

methods-sheet: .venv/installed  ## Draw every method on two samples: docs/methods.jpg
	$(BIN)/python scripts/methods_sheet.py

readme-animation: .venv/installed  ## Make the README's animation: docs/cockatoo.webp
	$(BIN)/python scripts/readme_animation.py

include benchmarks/targets.mk

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "streamcam needs Python 3.11, 3.12 or 3.13 (make PYTHON=/path/to/python)" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml setup.py streamcam/compose/blend.c
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

.venv/installed-examples: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[examples]'
	@touch $@

.venv/installed-docs: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@
