# Two commands are all there is to know: `make repro` (the pipeline) and `make test` (the tests).
# While working on the code, `make check` gives an answer in three minutes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A stage is a process of its own, and compiling torch anew would cost each of them three seconds.
unexport PYTHONDONTWRITEBYTECODE
READY := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: repro full ui studio check test clean scm mended

repro: $(READY) scm mended  ## install what is needed and run what is stale of the pipeline; ends in reports/report.html
	@$(BIN)/python -m stages.settings
	$(BIN)/dvc repro
	@echo "open reports/report.html"

full: $(READY) scm mended  ## everything: all presets with their published step counts, samples drawn anew, encoders (days on a GPU)
	$(BIN)/python -m stages.settings --apply params.full.yaml
	$(BIN)/dvc repro
	@echo "open reports/report.html; git checkout params.yaml goes back to the default"

ui: $(READY) scm      ## Prefect: server and UI with the pipeline and extractions registered, until Ctrl-C
	$(BIN)/python -m flows.ui

studio: $(READY)      ## the pipeline in a browser, with your own photographs, until Ctrl-C
	$(BIN)/ganvert studio

check: $(READY)       ## lint, types and the tests that take seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" $(PYTEST)

test: $(READY)        ## lint, types and all tests
	$(MAKE) check PYTEST='-m ""'

# DVC looks for the Git repository that it is part of. An unpacked archive is none, and a repository around it is not ours.
scm: $(READY)
	@test -e .git || grep -qs no_scm .dvc/config.local || $(BIN)/dvc config --local core.no_scm true

# A kill of DVC may cut its own files off, and DVC refuses to run with them.
mended: $(READY)
	@$(BIN)/python -m flows.mend

$(READY): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@rm -f $(VENV)/.installed-*
	@touch $@

clean:
	rm -rf .work data/assets data/sample_photos data/presets data/watched data/codes data/reconstructions data/stimuli data/study data/encoders data/*.parquet data/*.png reports
