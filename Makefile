# Every target sets the project up first; setting up is a no-op when nothing has changed.
PYTHON ?= python3
# Processes that the tests are spread over; each may take two gigabytes.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: setup test lint demo bench clean help

setup: $(VENV)/.chainfpn-installed ## make .venv with Chainer, ChainerCV, chainfpn and what the tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "chainfpn needs Python 3.10 or newer; name one: make PYTHON=python3.11 setup" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.chainer-installed: scripts/install_chainer.py | $(BIN)/python
	$(BIN)/python scripts/install_chainer.py
	@touch $@

$(VENV)/.chainfpn-installed: $(VENV)/.chainer-installed setup.cfg pyproject.toml
	$(PIP) install --quiet --editable '.[cpu,test]'
	@touch $@

test: setup ## run the whole test suite
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

lint: setup ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

demo: setup ## look for people in two photographs with the bundled weights
	$(BIN)/chainfpn demo

bench: setup ## time chainfpn against its peers, one table per question
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
