# Everything here works on a machine that has only make and Python 3.11 or newer: the first command creates .venv.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Leave empty to take the first interpreter that is new enough, or name one: make demo PYTHON=/path/to/python3.12
PYTHON ?=
# Each worker takes a half of the list and, at its end, of what the other has left: most modules stay whole, and so do the
# swarms that their tests share.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal

.PHONY: help install demo test test-all lint format types clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create .venv with the pinned dependencies and this project

demo: $(INSTALLED)  ## start a swarm of three nodes on this machine and generate text through it
	@$(BIN)/swarm demo

test: $(INSTALLED)  ## run the tests but for those marked slow
	@$(PYTEST) -m "not slow"

test-all: $(INSTALLED)  ## run all tests
	@$(PYTEST)

lint: $(INSTALLED)  ## check style, format and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

format: $(INSTALLED)  ## put the sources into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(INSTALLED)  ## check the types
	@$(BIN)/mypy

clean:  ## remove .venv and everything that was generated
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate is run before it is believed: a version manager's shim exists even where it only fails. pip comes with ensurepip,
# which some distributions package apart.
$(INSTALLED): pyproject.toml constraints.txt
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "No Python 3.11 or newer with venv found: install python3.11 and python3.11-venv, or name one: make PYTHON=..." >&2; \
		exit 1; \
	fi; \
	echo "Creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV)
	@echo "Installing PyTorch, the largest dependency (1/2)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt torch
	@echo "Installing the other dependencies and this project (2/2)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "Installed in $(VENV)"
