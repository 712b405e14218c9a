# Needs only make and Python 3.11, 3.12 or 3.13 with its venv module. Another interpreter: make PYTHON=/path/to/python
VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	then echo $$p; break; fi; done)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One process for each core gets whole test files, so that the fixtures of a file are made once. A process takes about 2 GB.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help quickstart test test-thorough test-slow test-jax lint imports types format clean
.DEFAULT_GOAL := help

help:
	@echo "make quickstart     train, export, verify and plot a small model (takes a few minutes)"
	@echo "make test           run the quick tests"
	@echo "make test-thorough  run the further cases (marked thorough), so that both together run every test that is not slow"
	@echo "make test-slow      run only the tests marked as slow"
	@echo "make test-jax       run the quick tests of the modelling core on Keras' JAX backend"
	@echo "make lint           check style with ruff, types with mypy, and who imports whom with import-linter"
	@echo "make types          check types with mypy"
	@echo "make format         let ruff rewrite the code in the project's style"
	@echo "make clean          remove $(VENV), builds and caches"

quickstart: $(INSTALLED)
	$(BIN)/keras-s2s quickstart --force

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL)

# `make test` and `make test-thorough` together run every test that is not slow.
test-thorough: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "thorough and not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# These are the modules that say `pytestmark = pytest.mark.backend_neutral`. The tests of Seq2Seq pass too, but XLA compiles
# a training for each, which takes as long as all other tests; tests/models/test_backends.py, a thorough test, trains on JAX.
test-jax: $(INSTALLED)
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(PARALLEL) -m "backend_neutral and not slow" \
		--ignore tests/models/test_seq2seq.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types imports

# mypy and import-linter read files and not the import hook of an editable install, so they get a copy of the tree in the
# layout of a wheel.
build/types: $(INSTALLED) $(shell find keras_s2s export -name '*.py*' -not -name '*.pyc')
	@rm -rf build/types && mkdir -p build/types
	@cp -R keras_s2s build/types/keras_s2s && cp -R export build/types/keras_s2s/export

imports: build/types
	cd build/types && PYTHONPATH=. $(abspath $(BIN))/lint-imports --no-cache $(CURDIR)/pyproject.toml

types: build/types
	cd build/types && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache -p keras_s2s

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is written last, so an interrupted installation is taken up again.
$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "keras-s2s needs Python 3.11, 3.12 or 3.13; none was found on PATH." \
		"Install one, or run: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing into $(VENV): about 3 GB, a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
