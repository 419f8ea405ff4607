# Every command a person needs. The first one that needs it builds .venv; it is rebuilt only
# when pyproject.toml or constraints.txt change.
#
#   make test PYTHON=python3.12               another interpreter
#   make test PYTEST_ARGS="-k grid -x"        some tests only

PYTHON ?= python3
PYTEST_ARGS ?= -n logical --maxprocesses 4

VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.demo
STAMP := $(VENV)/.installed
NODE_STAMP := web/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo site docs test lint try matrix format bench figures containers clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# What the demo takes is a fifth of what development takes.
$(DEMO_STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	    "ArSSR needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(call install,demo)

$(STAMP): $(DEMO_STAMP)
	$(call install,dev)

demo: $(DEMO_STAMP)  ## an average head (MNI152, the easiest kind of image) degraded and brought back at 2×, 3.2× and 4×
	$(BIN)/python -m arssr.demo

site: $(STAMP) $(NODE_STAMP)  ## the page as a static site, computed by the browser itself, in web/dist/
	$(BIN)/python tools/export_web.py light --to web/public/models
	npm run --silent site --prefix web

$(NODE_STAMP): web/package-lock.json
	@command -v npm >/dev/null || { echo "make site needs Node.js 20.19 or newer, with npm" >&2; exit 1; }
	npm ci --prefix web --no-audit --no-fund
	@touch $@

docs: $(STAMP)  ## these documents as a site, in docs/_build/html/; a broken reference fails
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs docs/_build/html

# One thread a worker: the workers already fill the cores.
test: $(STAMP)  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff (rules and format), mypy, and tsc where web/ has its packages; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(wildcard $(NODE_STAMP)),npm run --silent check --prefix web)

try: $(STAMP)  ## the wheel, in an environment of its own, super-resolves, then from other programs
	$(BIN)/python tools/try_wheel.py --doors

matrix: $(STAMP)  ## the same with every Python that is here and three sets of versions: docs/matrix.md
	$(BIN)/python tools/matrix.py

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## benchmarks/bench_*.py, which need no data (the others there say what they need)
	$(call run_each,$(wildcard benchmarks/bench_*.py),benchmarks/bench_*.py)

figures: $(STAMP)  ## the pictures of the documentation, made again
	$(call run_each,$(wildcard docs/figures/*.py),docs/figures/*.py)

containers: $(STAMP)  ## before a release: an image's installation, tried in a bare root of Debian (as root; minutes)
	PYTHON=$(BIN)/python containers/try.sh

clean:  ## remove what the commands made: environment, caches, builds
	rm -rf $(VENV) build dist web/node_modules web/dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,extra)
define install
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$1]'
	@touch $@
endef

# $(call run_each,scripts,pattern): the scripts in turn, stopping at the first that fails.
define run_each
	$(if $(1),,$(error there is no $(2) yet))
	@set -e; for script in $(1); do echo "== $$script"; $(BIN)/python $$script; done
endef
