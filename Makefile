# Verbs of the project. Everything but `setup` needs only Python 3.11 or newer, pip and make.
#   make setup PYTHON=python3.12     another interpreter
#   make test VENV=/tmp/venv         another virtualenv

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := $(VENV)/.installed-for-demo
SOURCES := pyproject.toml $(shell find walker_collector walker_dest_customerio -name build -prune -o \
	\( -name '*.py' -o -name pyproject.toml \) -print)
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal $(AGAIN)

.PHONY: setup check demo play test test-services test-quick coverage soak lint types bench docs dist

setup: $(STAMP)

$(STAMP): pyproject.toml walker_dest_customerio/pyproject.toml | $(BIN)/python
	@echo "Installing both packages and all tools into $(VENV): one to four minutes"
	@$(PIP) --editable ".[dev]" --editable "./walker_dest_customerio[sandbox]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Before a commit; takes seconds once mypy has its cache. Before a merge: `make test`.
check: lint
	$(BIN)/mypy --strict

# A shop's events, posted over HTTP to the collector, to a local Customer.io and a file.
# Without an earlier `make setup` it installs only the packages it needs.
demo: $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO))
	@$(BIN)/python examples/shop/demo.py

# The same shop with its doors open: visitors come until Ctrl-C, and a page shows it live.
play: $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO))
	@$(BIN)/python examples/shop/play.py

# Not editable: in an editable one mypy and pyright do not find the types of the packages.
$(DEMO): $(SOURCES) | $(BIN)/python
	@echo "Installing the collector, its server and a local Customer.io into $(VENV): up to a minute, no development tools"
	@$(PIP) ".[serve]" "./walker_dest_customerio[sandbox]"
	@rm -rf build walker_dest_customerio/build   # a later build would pack their old files, too
	@touch $@

# Tests that need only Python; the last lines list the tests left out. Some of them: .venv/bin/pytest PATH
test: setup
	$(PYTEST) $(COVER)

# Tests that need PostgreSQL, a package index, npm or Chromium: starts servers itself, and skips tests without
# their service.
test-services: setup
	$(PYTEST) -m services $(COVER)

# Both, with branch coverage of both packages together.
coverage:
	@$(MAKE) --no-print-directory test COVER="--cov --cov-report="
	@$(MAKE) --no-print-directory test-services COVER="--cov --cov-append --cov-report=term --cov-fail-under=95"

# A quick part of the tests, with another interpreter or the lowest allowed dependencies, in a virtualenv of
# its own:
#   make test-quick PYTHON=python3.13 VENV=.venv-3.13
#   make test-quick LOWEST=yes VENV=.venv-lowest
# Interpreters differ in what they compile and inspect, in threads, forks, their end, and SQLite.
INTERPRETER := tests/conformance tests/core/mapping tests/test_version.py tests/customerio/test_contract.py \
	$(addprefix tests/core/test_,async_calls.py cli_simulate.py collector.py collector_fork.py contract_builtin.py \
	events.py plugins.py process_exit.py spool_kills.py spool_sqlite.py worker.py)
# Dependencies read flows and arguments, encode events, call hooks, and speak to Customer.io.
DEPENDENCIES := tests/conformance tests/customerio tests/core/mapping tests/test_version.py \
	$(wildcard tests/core/test_flow*.py) \
	$(addprefix tests/core/test_,cli_simulate.py collector.py declared_reads.py dispatcher.py events.py otel.py plugins.py \
	spool_sqlite.py worker.py)
test-quick: QUICK := $(if $(LOWEST),$(DEPENDENCIES),$(INTERPRETER))
test-quick:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PYTHON) .ci/lowest.py >$(VENV)/lowest.txt
	$(PIP) $(if $(LOWEST),--constraint $(VENV)/lowest.txt) \
		--editable ".[test]" --editable "./walker_dest_customerio[sandbox]"
	$(PYTEST) $(QUICK)

# The long forms: more examples, kills and events. Hours, on a machine that has nothing else to do.
# Some of them: make soak ONLY=tests/soak, or ONLY="tests/core -k order"
soak: ONLY = tests
soak: setup
	WALKER_TESTS=long $(BIN)/python -m pytest --timeout=3600 -o norecursedirs=.* -m "long and not services" $(ONLY)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: setup
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict $(wildcard examples/*/*.py)

# Benchmarks beside other libraries (docs/performance.md). Some of them: make bench ONLY="core durable"
# Quicker and rougher: WALKER_BENCH_SCALE=0.1 make bench
bench: setup
	$(PIP) --editable ".[bench]"
	$(BIN)/python -m tests.benchmarks $(ONLY)

# Build the documentation as a site (site/index.html), with warnings as errors, and run its examples.
docs: setup
	$(BIN)/sphinx-build -W -n --keep-going --quiet -b html docs site
	$(BIN)/python -m pytest tests/docs

# Build both packages as they are published (RELEASING.md) into dist/, from a copy of the committed files,
# and check their metadata.
dist: setup
	$(PIP) "twine>=6.1"
	rm -rf dist && mkdir dist
	git archive HEAD | tar -x -C dist --one-top-level=source
	$(BIN)/python -m build --quiet --outdir dist dist/source
	$(BIN)/python -m build --quiet --outdir dist dist/source/walker_dest_customerio
	rm -rf dist/source
	$(BIN)/python -m twine check --strict dist/*
