# Two commands are all a newcomer needs: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TESTS := $(BIN)/pytest --numprocesses 2 --dist loadfile
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup demo test test-all lint types imports docs clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/user: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/user

$(VENV)/docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[docs]'
	@touch $@

setup: $(VENV)/dev  ## Make the virtual environment with everything for development

demo: $(VENV)/user  ## Train, prune, fine-tune, export, measure and report on the built-in rooms
	$(BIN)/niwaki demo --out runs/demo $(if $(wildcard runs/demo/recipe.yaml),--resume)

lint: $(VENV)/dev  ## Style of package, tests and benchmarks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev  ## Static types of package and tests
	$(BIN)/mypy

imports: $(VENV)/dev  ## The floors: imports go only down
	$(BIN)/lint-imports

test: lint types imports  ## Everything a change must pass
	$(TESTS)

test-all: lint types imports  ## The same, with the slow tests
	$(TESTS) -m 'slow or not slow'

docs: $(VENV)/docs  ## Build the pages into site/
	$(BIN)/mkdocs build --strict

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
