# Short verbs. `make run` and `make test` do all their own set-up; a second time that takes no time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench
BACKENDS ?= 8081-8083
CONFIG ?= example-standalone.yml
TESTS ?=
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help demo run test lint format bench bench-micro clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/'

demo: $(READY) ## See balancing, an ejection and a recovery on the dashboard, within a minute; Ctrl-C stops it
	$(BIN)/linkerd-tcp --demo

run: $(READY) ## Run the example with three built-in backends; then: curl http://127.0.0.1:7474/
	$(BIN)/linkerd-tcp --backends $(BACKENDS) $(CONFIG)

test: lint ## Format, lint, types and tests; TESTS=tests/net for some of the tests
	$(BIN)/python -m tests.parallel $(TESTS)

lint: $(READY) ## Everything that is checked without running it
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## Put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_READY) ## Beside HAProxy and nginx, about 35 minutes; BENCH='--only keep-alive', --quick or --list for less
	$(BIN)/python -m benchmarks $(BENCH)

bench-micro: $(BENCH_READY) ## What single steps of a connection cost, in process
	$(BIN)/pytest benchmarks/micro $(BENCH)

clean: ## Remove what was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	@touch $@

$(READY): setup.py pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON) here; install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: linkerd-tcp needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); say make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@
