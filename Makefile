# `make demo` for what it does, `make test` for whether it still does it, `make docs` for how.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-all docs test-lowest test-newest

demo: $(VENV)/.installed
	$(BIN)/nova-gym demo

test: $(VENV)/.installed-test web/node_modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 2 --dist loadfile  # two processes; a file's tests share what they have trained

# All tests, also those that are marked as slow.
test-all: $(VENV)/.installed-test web/node_modules
	$(BIN)/pytest -n 2 --dist loadfile -m ""

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --builder html --fresh-env --write-all --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs/_build/index.html"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# What the page's sources are built with; without npm the test that compares the two is skipped.
web/node_modules: web/package-lock.json
	npm ci --prefix web --ignore-scripts --no-audit --no-fund --silent && touch $@ || echo "without npm the page is not compared"

# The tests with the lowest versions that setup.cfg allows, and with the newest: `make test-lowest TESTS=tests/envs` runs
# some of them. What their Numba compiles is kept apart from what yours does.
TESTS ?= tests

test-lowest test-newest: test-%:
	$(PYTHON) -m venv --clear $(VENV)-$*
	$(if $(filter lowest,$*),$(PYTHON) tools/lowest.py,true) > $(VENV)-$*/constraints.txt
	$(VENV)-$*/bin/pip install --quiet --constraint $(VENV)-$*/constraints.txt --editable '.[test]'
	NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)-$*/numba $(VENV)-$*/bin/pytest -o cache_dir=$(VENV)-$*/pytest $(TESTS)
