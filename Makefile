VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# The demo keeps its store, artifacts and runs beside the checkout, not in the user's home.
DEMO_HOME ?= $(CURDIR)/.demo
SEED ?= 0
# Tests side by side, one process a core. JOBS=0 runs them in one process, as a debugger needs.
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")
PYTEST_JOBS = --numprocesses=$(JOBS) --dist=worksteal

.PHONY: install demo test test-slow test-isa lint format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

demo: install
	MODNAS_HOME=$(DEMO_HOME) $(BIN)/modnas-hw search --devices cpu --preset quick --seed $(SEED)

# Without those that are marked slow. COVERAGE=1 counts what is executed, which takes longer, and judges it.
test: install
	$(BIN)/python -m pytest $(PYTEST_JOBS) -m "not slow" $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=85)

test-slow: install
	$(BIN)/python -m pytest $(PYTEST_JOBS) -m slow

# What trains, once more with other instructions than this machine's best: see CONTRIBUTING.md.
test-isa: install
	$(BIN)/python tests/helpers/other_instructions.py -m trains $(PYTEST_JOBS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Only what was made here: folders elsewhere, which VENV and DEMO_HOME may name, are left to whoever named them.
clean:
	if [ -f .venv/.installed ] && [ ! -L .venv ]; then rm -rf .venv; fi
	if [ -f .demo/store.sqlite ] && [ ! -L .demo ]; then rm -rf .demo; fi
	rm -f .coverage .coverage.* dist/modnas_hw-*.whl dist/modnas_hw-*.tar.gz
	if [ -d dist ] && [ ! -L dist ]; then rmdir dist 2>/dev/null || true; fi
