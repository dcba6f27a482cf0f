PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit lint format bench clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# The stamp is as new as the last install, so that an edited dependency list installs again.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed ## run the whole loop on an embedded hub: no network, no Docker
	$(BIN)/reconcile demo

test: $(VENV)/.installed ## run every test (those that need Docker are skipped where there is none)
	$(BIN)/python -m pytest -n 4

test-unit: $(VENV)/.installed ## run the fast tests alone
	$(BIN)/python -m pytest -n 2 tests/unit

lint: $(VENV)/.installed ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## run the benchmarks
	$(BIN)/python -m benchmarks

clean: ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
