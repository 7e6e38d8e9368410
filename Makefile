# make run: the product on this machine. make test: everything that checks it.

PYTHON ?= python3
PORT ?= 8501
JOBS ?=
RECORDS ?= 1000000
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/audit
INSTALL := -m pip install -qq --disable-pip-version-check --require-hashes -r
LOCK := $(TOOLS)/bin/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest \
  --generate-hashes --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run test lint format browser bench mutants soak screenshots audit lock sbom clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/run.stamp  ## prepare the database and serve the pages (PORT=8501, JOBS=1 for simulated sync jobs)
	@$(BIN)/python -m synchist run --port $(PORT) $(if $(JOBS),--jobs)

test: $(VENV)/test.stamp browser  ## run all tests (ARGS="-k filters" for some)
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/test.stamp  ## check style, types and the floors of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/test.stamp  ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

browser: $(VENV)/test.stamp  ## make sure that there is a browser for the tests
	@for name in chromium chromium-browser google-chrome; do \
	  command -v $$name >/dev/null && exit 0; \
	done; \
	$(BIN)/python -m playwright install chromium >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium for the tests."; \
	  apt-get update -qq \
	    && apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0; \
	fi; \
	echo "The tests need a browser: install Chromium or Chrome, then run make test again."; \
	exit 1

bench: $(VENV)/test.stamp browser  ## measure it against baselines (RECORDS=100000, ARGS="queries")
	@$(BIN)/python -W ignore -m benchmarks --records $(RECORDS) $(ARGS)

mutants: $(VENV)/test.stamp browser  ## break the controls one by one: each break must turn a test red
	@$(BIN)/python -m tests.mutants $(ARGS)

soak: $(VENV)/test.stamp  ## race, cut, kill and spoil for long (ARGS="--changes 100000 races")
	@$(BIN)/python -W ignore -m tests.soak $(ARGS)

screenshots: $(VENV)/test.stamp browser  ## take the README's pictures from a demo
	@$(BIN)/python docs/screenshots.py

audit: $(TOOLS)/run.stamp  ## ask whether a locked version has a known vulnerability
	@$(TOOLS)/bin/python -m tests.supply $(ARGS)

lock: $(TOOLS)/run.stamp  ## lock the requirements with all they need (ARGS=--upgrade for newer versions)
	@$(LOCK) requirements.txt -o requirements.lock $(ARGS)
	@$(LOCK) requirements-dev.txt -c requirements.lock -o requirements-dev.lock $(ARGS)
	@$(LOCK) requirements-audit.txt -o requirements-audit.lock $(ARGS)
	@$(MAKE) --no-print-directory sbom

sbom: $(TOOLS)/run.stamp $(VENV)/run.stamp  ## list what the product carries, and its licences
	@$(TOOLS)/bin/python -m tests.sbom $(VENV)/lib/python3*/site-packages

clean:  ## remove what make has made; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than the lock it was installed from, so nothing is installed twice. Nothing is
# installed that isn't locked, and nothing locked whose hash differs.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "This Python can't make environments: install its venv package (python3-venv)."; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.lock | $(BIN)/python
	@echo "Installing what the product needs (a minute or two, once)."
	@$(BIN)/python $(INSTALL) requirements.lock
	@touch $@

$(VENV)/test.stamp: requirements.lock requirements-dev.lock | $(BIN)/python
	@echo "Installing what the tests need (a minute or two, once)."
	@$(BIN)/python $(INSTALL) requirements-dev.lock
	@touch $@ $(VENV)/run.stamp

$(TOOLS)/run.stamp: requirements-audit.lock | $(BIN)/python
	@$(BIN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/python $(INSTALL) requirements-audit.lock
	@touch $@
