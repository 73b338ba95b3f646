# Everything a newcomer needs: `make demo` and `make test`. Both make their own environment in .venv.
PYTHON ?= $(firstword $(foreach p,python3.12 python3.13 python3.11 python3,$(shell $(p) -c 'import sys; print("$(p)" if (3, 11) <= sys.version_info < (3, 14) else "")' 2>/dev/null)))
BIN := .venv/bin

.PHONY: demo test test-fast check methods-sheet bench-peers bench-memory bench-methods bench-forward bench-faithfulness bench-leaks bench-every bench-startup bench-stages bench-devices bench-long bench-latency bench-presets bench clean

demo: .venv/installed  ## annotates a sample clip; prints where the video and a contact sheet are
	@$(BIN)/python scripts/demo.py

test: .venv/installed-dev  ## the demo's installation and the tests
	$(BIN)/python -m pytest

test-fast: .venv/installed-dev  ## Run the tests of the inner loop: none marked slow, browser or gpu
	$(BIN)/python -m pytest -m "not slow and not browser and not gpu" -p no:schemathesis --ignore tests/web/test_api_fuzz.py

check: .venv/installed-dev  ## lint, format, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

methods-sheet: .venv/installed  ## the README's picture of all methods
	@mkdir -p docs
	$(BIN)/python scripts/methods_sheet.py

bench-peers: .venv/installed  ## the comparison in benchmarks/RESULTS.md; makes the peers' environments first
	$(BIN)/python benchmarks/peers.py

bench-memory: .venv/installed  ## peak memory on one minute and on ten
	$(BIN)/python benchmarks/memory.py

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "streamcam needs Python 3.11, 3.12 or 3.13 (make PYTHON=/path/to/python)" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml streamcam/compose/blend.c
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

bench-methods: .venv/installed  ## what each method costs, and Grad-CAM against other libraries by itself
	$(BIN)/python benchmarks/methods.py

bench-forward: .venv/installed  ## the bare forward pass against OpenVINO's
	$(BIN)/python benchmarks/forward.py

bench-faithfulness: .venv/installed  ## deletion and insertion areas of each method
	$(BIN)/python benchmarks/faithfulness.py

bench-leaks: .venv/installed  ## memory while 1,000 explainers are made and dropped
	$(BIN)/python benchmarks/leaks.py

bench-startup: .venv/installed  ## from the start of a process until it explains
	$(BIN)/python benchmarks/startup.py

bench-every: .venv/installed  ## how far maps are from those of every frame where fewer are explained
	$(BIN)/python benchmarks/every.py

bench-stages: .venv/installed  ## each stage alone, all together, and the distance to the bound
	$(BIN)/python benchmarks/stages.py

bench-devices: .venv/installed  ## one, two and four replicas
	$(BIN)/python benchmarks/devices.py

bench-long: .venv/installed  ## cost and memory along half an hour
	$(BIN)/python benchmarks/long.py

bench-latency: .venv/installed-dev  ## how old live pictures are; half an hour
	$(BIN)/python benchmarks/latency.py

bench-presets: .venv/installed  ## what H.264's presets cost and what they make of drawn pictures
	$(BIN)/python benchmarks/presets.py

bench: bench-forward bench-stages bench-presets bench-peers bench-methods bench-every bench-devices bench-startup bench-long bench-memory bench-latency  ## all of RESULTS.md that depends on speed; two hours on a quiet machine

clean:
	rm -rf .venv demo benchmarks/work .mypy_cache .pytest_cache .ruff_cache build *.egg-info
