# Two commands for a fresh machine: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A process a core, each of one thread; a file's tests stay together, for they share what they prepare.
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadscope
READY := $(VENV)/.ready

.PHONY: help demo test test-all lint format lock clean

help:
	@echo "make demo      the main job on phantoms, in a minute: see what it leaves in demo/"
	@echo "make test      style, types and the quick tests"
	@echo "make test-all  the slow tests too"
	@echo "make format    put the code into its style"
	@echo "make clean     remove what these commands made"

# torch first and alone, so that nothing else decides which torch is installed.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)
	rm -rf demo
	$(BIN)/polycontrast demo -o demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(READY) lint
	$(PYTEST) -m "not slow"

test-all: $(READY) lint
	$(PYTEST)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes requirements.lock anew from what is installed; look at the difference before keeping it.
lock: $(READY)
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
