# What a checkout offers. PYTHON is any Python from 3.11 to 3.13.
PYTHON ?= python3
TORCH ?= 2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: train test test-long test-gpu test-lowest check docs lock lines

train: .venv/train  ## set up what training needs, then train the embedded example
	$(BIN)/python -m dacapo.train

test: .venv/test  ## set up what the tests need as well, then run them
	$(PYTEST)

test-long: .venv/test  ## the tests that take minutes each: learning, kills, sweeps, SLURM
	$(PYTEST) -m long

test-gpu: .venv/test  ## what only a GPU can show
	$(PYTEST) -m gpu

test-lowest:  ## the quick tests with the lowest versions that pyproject.toml allows, torch aside
	rm -rf .lowest
	$(PYTHON) -m venv .lowest
	$(PYTHON) .ci/lowest.py $(TORCH) > .lowest/constraints.txt
	.lowest/bin/python -m pip install --quiet -c .lowest/constraints.txt -e ".[test]"
	.lowest/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long and not slow"

check: test  ## what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md docs dacapo hydra_plugins conf benchmarks

docs: .venv/test  ## the documentation as a site: docs/_build/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

lock:  ## renew constraints.txt, the tested set of packages
	rm -rf .lock
	$(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet torch==$(TORCH) ".[test]"
	# Without "+cpu" or "+cu130": the same version fits machines with a GPU and without.
	.lock/bin/python -m pip freeze --exclude dacapo | sed 's/+[a-z0-9.]*$$//' | LC_ALL=C sort -f > constraints.txt
	rm -rf .lock

lines:  ## lines of code per package, without blanks, comments and docstrings
	$(PYTHON) benchmarks/lines.py

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/train: .venv/python pyproject.toml constraints.txt
	@echo "installing dacapo and what training needs into .venv: a minute or two"
	$(PIP) -c constraints.txt -e .
	touch $@

.venv/test: .venv/train
	@echo "installing what the tests need into .venv: a minute or two"
	$(PIP) -c constraints.txt -e ".[test]"
	touch $@
