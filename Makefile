# Every target installs what it needs. A new machine needs Python 3.11 or later and nothing else.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt --editable

.PHONY: demo demo-curation test test-all check docs clean

# Ages for the photographs in examples/
demo: $(VENV)/.installed
	rm -rf demo-output
	$(BIN)/wrinkle predict examples --annotate demo-output
	@echo "pictures with boxes and ages: demo-output/"
	@echo "for the command wrinkle in this shell: . $(BIN)/activate"

# A dataset from the photographs in examples/
demo-curation: $(VENV)/.installed
	$(INSTALL) '.[curate]'
	rm -rf demo-output/curation
	$(BIN)/wrinkle curate run examples/curation.yaml
	@echo "the dataset's card: demo-output/curation/export/card.html"

# The tests that run in minutes
test: $(VENV)/.installed-tests
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not kills'

# All tests
test-all: $(VENV)/.installed-tests
	$(BIN)/python -m pytest -n auto --dist worksteal

# Style, types, order of imports, spelling, documentation
check: $(VENV)/.installed-tests docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell

# The documentation's site, in site/
docs: $(VENV)/.installed-tests
	$(BIN)/mkdocs build --strict --quiet

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	$(INSTALL) '.[train,imagenet,figures,report,boosting,serve,video,curate,rekognition,heic,test,check,docs]'
	touch $@

clean:
	rm -rf $(VENV) demo-output site
