# Each target does all set-up on a fresh clone: environment, pinned install, then the job.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow lint format constraints clean

demo: $(VENV)/.demo  ## train, compress, convert, measure: writes demo/report.html
	$(BIN)/edgekit demo --out demo

test: $(VENV)/.test lint  ## lint and the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test  ## the tests that take minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints:  ## pin anew what all extras install today
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --editable '.[test]'
	build/pins/bin/python -m pip freeze --exclude-editable > build/pins/constraints.txt
	mv build/pins/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --editable '.[test]'
	@touch $@
