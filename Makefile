# Every target sets the project up first; setting up is a no-op when nothing has changed.
PYTHON ?= python3
# Processes that the tests are spread over; each may take two gigabytes.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Bytecode is kept even where the environment says not to: a third of what an interpreter of a test takes to start.
PYTEST := PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: setup wheels test test-fast test-thorough lint demo bench site release-check clean help

setup: $(VENV)/.chainfpn-installed ## make .venv with Chainer, ChainerCV, chainfpn and what the tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "chainfpn needs Python 3.10 or newer; name one: make PYTHON=python3.11 setup" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.chainer-installed: chainfpn/install.py | $(BIN)/python
	$(BIN)/python chainfpn/install.py
	@touch $@

$(VENV)/.chainfpn-installed: $(VENV)/.chainer-installed setup.cfg pyproject.toml
	$(PIP) install --quiet --editable '.[cpu,test]'
	@touch $@

wheels: $(BIN)/python ## fill dist with wheels of chainfpn, Chainer and ChainerCV
	$(BIN)/python chainfpn/install.py --wheels dist
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

test: setup ## run the test suite
	$(PYTEST)

test-thorough: setup ## run what make test leaves out: more of what its tests show
	CHAINFPN_THOROUGH=1 $(PYTEST) -m thorough

test-fast: setup ## run the quick tests: none that is slow, builds whole networks or needs live torchvision
	$(PYTEST) -m 'not slow and not live' --ignore=tests/chainfpn_tests/models_tests

lint: setup ## check style, formatting, types, and that nothing is dead
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python scripts/dead_code.py

demo: setup ## look for people in two photographs with the bundled weights
	$(BIN)/chainfpn demo

bench: setup ## time chainfpn against its peers on a CPU, and put the tables into docs: 28 minutes
	$(BIN)/python benchmarks/sitting.py

$(VENV)/.docs-installed: $(VENV)/.chainfpn-installed
	$(PIP) install --quiet --editable '.[docs]'
	@touch $@

site: $(VENV)/.docs-installed ## build the documentation as a site, build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

release-check: setup ## walk what a release has to be, and print the command that tags it
	$(BIN)/python scripts/release_check.py

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
