# The two commands of the README. PYTHON is any Python from 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test

train: .venv/installed
	$(BIN)/python -m dacapo.train

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@
