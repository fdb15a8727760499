# make demo: install into .venv, index the documentation of this machine's Python, ask it three questions
# make test: install what is missing and run the tests; make slow: those that it leaves out
# Each is quick the second time. PYTHON=python3.12 make demo takes another Python.

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
TESTING := $(VENV)/.testing

.PHONY: demo test slow clean

demo: $(INSTALLED)
	@$(VENV)/bin/vecsearch demo

test: $(TESTING)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest -m 'not slow' $(ARGS)

slow: $(TESTING)
	$(VENV)/bin/python -m pytest -m slow $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(TESTING): $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) indexes/python
