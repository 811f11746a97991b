# How Generative AI Works: `make book` builds the site, `make test` checks everything, `make help` lists the rest.
SHELL := bash
# GNU make 3.81, which macOS brings, knows no .SHELLFLAGS: recipes of several commands begin with $(STRICT) as well.
.SHELLFLAGS := -Eeuo pipefail -c
STRICT = set -Eeuo pipefail;
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# Where the package index has no CPU build of torch: the address of the index that has one (see CONTRIBUTING.md).
TORCH_INDEX_URL ?=
PORT ?= 8000

PY := $(VENV)/bin/python
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PYTHONUTF8 := 1
unexport PYTHONPATH PYTEST_ADDOPTS
STAMPS := _build/stamps

# What the targets depend on. A name with a space or a colon would be several names, or a rule, to make.
SIFT := -type f -not -name '*.pyc' -not -name .DS_Store -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*'
IN = $(shell find $(1) $(SIFT) -not -path '*[ :]*' 2>/dev/null)
PAGE_FOLDERS := chapters assignments pages _static _extra _templates benchmarks
PACKAGE := $(call IN,src data)
PAGES := $(call IN,$(PAGE_FOLDERS)) _config.yml _toc.yml genindex.md tools/sphinx_site.py
TESTS := $(call IN,tests tools) Makefile pyproject.toml constraints.txt
TOP := README.md CONTRIBUTING.md CHANGELOG.md LICENSE CITATION.cff environment.yml .gitignore $(call IN,.ci .github)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- environments: one folder, filled in two steps ----------------------------------------------------------
$(VENV)/bin/python:
	$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-book: pyproject.toml constraints.txt tools/requirements.py | $(VENV)/bin/python
	$(PY) tools/requirements.py book > $(VENV)/book.txt
	$(PY) -m pip install -q --disable-pip-version-check -r $(VENV)/book.txt -c constraints.txt
	@touch $@

$(VENV)/.installed-all: pyproject.toml constraints.txt tools/requirements.py $(VENV)/.installed-book
	$(PY) -m pip install -q --disable-pip-version-check $(if $(TORCH_INDEX_URL),--no-deps --index-url $(TORCH_INDEX_URL)) "$$(grep '^torch==' constraints.txt)"
	$(PY) tools/requirements.py core test grade > $(VENV)/all.txt
	$(PY) -m pip install -q --disable-pip-version-check -r $(VENV)/all.txt -c constraints.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# ---- the book -----------------------------------------------------------------------------------------------
book: _build/html/.built ## build the site from the stored outputs; prints where to open it
	@echo "The book is built. Open  file://$(CURDIR)/_build/html/index.html  or run  make serve"

# After a file came or went the whole site is made anew: nothing else would take away the page of a deleted file.
_build/html/.built: $(PAGES) $(PACKAGE) $(STAMPS)/files | $(VENV)/.installed-book
	$(if $(filter $(STAMPS)/files,$?),rm -rf _build/html)
	$(VENV)/bin/jupyter-book build . -q -n -W --keep-going $(if $(FRESH)$(filter $(STAMPS)/files,$?),--all)
	@touch $@

serve: book ## serve the site on this machine (PORT=8000)
	$(PY) -m http.server --directory _build/html --bind 127.0.0.1 $(PORT)

lab: $(VENV)/.installed-all ## open the chapters in JupyterLab with everything installed
	$(VENV)/bin/jupyter lab --notebook-dir=.

# ---- tests: each stage leaves a stamp, so that a second run with nothing changed has nothing to do -----------
test: $(addprefix $(STAMPS)/,lint unit notebooks site colab) ## everything, as CI runs it
	@$(if $(PYTEST_FLAGS),echo "Passed with PYTEST_FLAGS=$(PYTEST_FLAGS)",$(STRICT) echo "All stages passed:"; cat $^)

check: $(VENV)/.installed-all ## the three-minute subset for daily work
	$(MAKE) --no-print-directory $(STAMPS)/lint
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not timed" tests --ignore tests/site --ignore tests/colab

# What a stamp's dates cannot tell: a file that was deleted, another CI or TORCH_INDEX_URL. Replaced only on change.
$(STAMPS)/files: FORCE
	@$(STRICT) mkdir -p $(@D); \
	  { find src data $(PAGE_FOLDERS) tests tools .ci .github $(SIFT) 2>/dev/null || true; } | LC_ALL=C sort > $@.new; \
	  echo "CI=$${CI:-} TORCH_INDEX_URL=$(TORCH_INDEX_URL)" >> $@.new; \
	  if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# One shell with -e a stage: its commands are joined by `;`, for a failure left of `&&` would not stop it.
# With PYTEST_FLAGS only part of the tests may run, so no stamp is left.
STAGE = @$(STRICT) mkdir -p $(STAMPS); start=$$SECONDS; echo "== $(@F)";
PASSED = echo "$(@F): passed, $$((SECONDS - start)) s"
DONE = ; $(PASSED)$(if $(PYTEST_FLAGS),, > $@; cat $@)

$(STAMPS)/lint: $(PACKAGE) $(PAGES) $(TESTS) $(TOP) $(STAMPS)/files $(VENV)/.installed-all
	$(STAGE) $(VENV)/bin/ruff check -q .; $(VENV)/bin/ruff format --check -q src tests tools; $(PY) tools/notebooks.py pairs $(DONE)

$(STAMPS)/unit: $(PACKAGE) $(PAGES) $(TESTS) $(TOP) $(STAMPS)/files $(VENV)/.installed-all
	$(STAGE) $(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not timed" tests --ignore tests/site --ignore tests/colab $(PYTEST_FLAGS)$(if $(PYTEST_FLAGS),,; \
	  $(PY) -m pytest -m timed tests/labs) $(DONE)

$(STAMPS)/notebooks: $(PACKAGE) $(PAGES) $(TESTS) $(STAMPS)/files $(VENV)/.installed-all
	$(STAGE) $(PY) tools/notebooks.py test --workers $(WORKERS) $(DONE)

$(STAMPS)/site: $(PACKAGE) $(PAGES) $(TESTS) $(TOP) $(STAMPS)/files $(VENV)/.installed-all
	$(STAGE) rm -rf _build/fresh; $(VENV)/bin/jupyter-book build . -q -n -W --keep-going --all --path-output _build/fresh; \
	  $(PY) -m pytest -n $(WORKERS) tests/site $(PYTEST_FLAGS) $(DONE)

$(STAMPS)/colab: $(PACKAGE) $(PAGES) $(TESTS) $(TOP) $(STAMPS)/files $(VENV)/.installed-all
	$(STAGE) $(PY) -m pytest -n $(WORKERS) tests/colab $(PYTEST_FLAGS) $(DONE)

# ---- making things ------------------------------------------------------------------------------------------
execute: $(VENV)/.installed-all ## re-run every chapter and store its outputs (CHAPTERS="distributions" for some)
	$(PY) tools/notebooks.py execute --workers $(WORKERS) $(CHAPTERS)

labs: $(VENV)/.installed-all ## rebuild the live labs from the shipped checkpoints
	$(PY) -m genbook.cli labs

assignments: $(VENV)/.installed-all ## write student/ and solutions/ from the masters
	$(PY) -m genbook.cli.grade release --write

bench: $(VENV)/.installed-all ## measure again what the chapters quote (stored in benchmarks/)
	$(PY) -m genbook.cli bench --folder benchmarks

mutants: $(VENV)/.installed-all ## break the library on purpose; every break must be noticed
	$(PY) tools/mutants.py --workers $(WORKERS)

lint: $(VENV)/.installed-all ## ruff on code and notebooks; the pairs in step
	@rm -f $(STAMPS)/lint
	@$(MAKE) --no-print-directory $(STAMPS)/lint

glyphs: $(VENV)/.installed-all ## draw the glyph set again from matplotlib's fonts
	$(PY) -m genbook.data.glyph_renderer data/glyphs.npz

lock: ## write constraints.txt from what is installed now
	$(PY) tools/lock.py > constraints.new && mv constraints.new constraints.txt

set-repository: ## carry the repository's address everywhere: make set-repository URL=https://github.com/you/book
	$(PYTHON) tools/set_repository.py "$(URL)"

clean: ## remove what was built (not the environment)
	rm -rf _build dist .ruff_cache .hypothesis

.PHONY: FORCE help book serve lab test check execute labs assignments bench mutants lint glyphs lock set-repository clean
