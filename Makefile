# Two commands: `make run` and `make test`. Everything they write is below .townwatch.
STATE  := .townwatch
VENV   := $(STATE)/venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python packaging/install.py --cache-dir $(STATE)/cache/pip
ARGS   ?=
DURATION ?= 600
CLIENTS  ?= 1000
JOBS     ?= 3
PACKAGES := $(filter-out bench tests townwatch,$(patsubst %/__init__.py,%,$(wildcard */__init__.py)))

export PYTHONPYCACHEPREFIX := $(abspath $(STATE))/cache/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check unit mutants chaos lock clean

run: $(STATE)/installed
	@$(BIN)/townwatch serve --demo --state-dir $(STATE) $(ARGS)

# Three tests at a time (JOBS=1: one; many wait more than they work), each file's in one process. What fails is tried once more, alone: on a busy machine a
# deadline in a test may pass before its turn comes. What is wrong fails twice.
test: check
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS) || { echo "trying what failed once more, alone"; $(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none $(ARGS); }

# What a reviewer would look at first: style and types.
check: $(STATE)/installed-dev
	@tests/support/provide
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@mkdir -p $(STATE)/types/townwatch
	@ln -sfn ../../pyproject.toml $(STATE)/types/ && ln -sfn $(foreach part,$(PACKAGES) $(wildcard townwatch/*.py) townwatch/py.typed,../../../$(part)) $(STATE)/types/townwatch/
	$(BIN)/basedpyright --project $(STATE)/types --pythonpath $(BIN)/python

# Without browser, node and mutants, for the minute between two edits.
unit: $(STATE)/installed-dev
	$(BIN)/python -m pytest -q tests/unit tests/property -m "not mutants" $(ARGS)

# Plausible bugs of actors and supervisors, planted one by one: the tests notice each.
mutants: $(STATE)/installed-dev
	$(BIN)/python -m tests.property.mutants.actors

# Ten minutes of pulled plugs (DURATION=60: one) in a service of its own, with 1000 clients who look on (CLIENTS=20: less).
chaos: $(STATE)/installed
	@$(BIN)/townwatch chaos --fresh --state-dir $(STATE) --duration $(DURATION) --clients $(CLIENTS) $(ARGS)

# The locks, made anew from pyproject.toml.
lock: $(STATE)/installed-dev
	$(BIN)/uv pip compile -q --universal --generate-hashes --upgrade --custom-compile-command "make lock" \
	  pyproject.toml --extra build -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --custom-compile-command "make lock" \
	  pyproject.toml --all-extras -c requirements.lock -o requirements-dev.lock

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "townwatch needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python packaging/install.py --byte-code $(abspath $(STATE))/cache/pycache

$(STATE)/installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python packaging/install.py --quick-start
	@touch $@

$(STATE)/installed-dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python packaging/install.py --quick-start
	@touch $@ $(STATE)/installed

clean:
	rm -rf $(STATE) tests/js/node_modules
