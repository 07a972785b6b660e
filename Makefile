VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# The demo keeps its store, artifacts and runs beside the checkout, not in the user's home.
DEMO_HOME ?= $(CURDIR)/.demo
SEED ?= 0

.PHONY: install demo test lint format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

demo: install
	MODNAS_HOME=$(DEMO_HOME) $(BIN)/modnas-hw search --devices cpu --preset quick --seed $(SEED)

test: install
	$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=85

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO_HOME) dist .coverage*
