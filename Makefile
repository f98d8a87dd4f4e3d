# Set-up is part of every target: a fresh machine needs Python 3.11+ and pip, nothing else.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: demo demo-curation test check clean

demo: $(VENV)/.installed
	rm -rf demo-output
	$(BIN)/wrinkle predict examples --annotate demo-output
	@echo "pictures with boxes and ages: demo-output/"

demo-curation: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[curate]'
	rm -rf demo-output/curation
	$(BIN)/wrinkle curate run examples/curation.yaml
	@echo "look at demo-output/curation/export/card.html"

test: check
	$(BIN)/python -m pytest

check: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,imagenet,figures,report,boosting,curate,rekognition,heic,test,check]'
	touch $@

clean:
	rm -rf $(VENV) demo-output
