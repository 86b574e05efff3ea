# SPDX-License-Identifier: BSD-3-Clause
# Every target sets up .venv on first use; `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.hepfool-installed
EXTRAS := all,dev
MINIMUM_EXTRAS := driver,dask,torch,parquet,onnx,inference,dev
# `make setup CONSTRAINTS=--pre` takes the newest releases instead.
CONSTRAINTS ?= -c constraints.txt
# Builds of PyTorch without CUDA; TORCH_INDEX= takes what the default index has.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that share the test suite.
TEST_WORKERS ?= 2
TEST_ARGS ?=
# `make test MPL=` draws the figures without comparing them.
MPL ?= --mpl
# Written by tests/whole_run.py when the tests came to their end.
ENDED := .pytest_cache/ended

.DEFAULT_GOAL := help
.PHONY: bench clean demo docs examples help images lint setup test test-beside test-examples test-minimums

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## Create .venv with everything pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hepfool needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# PyTorch first and alone, so that no later step can choose a build with CUDA.
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --retries 2 $(CONSTRAINTS) \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## Run a small study end to end into demo-output/
	$(BIN)/hepfool demo -o demo-output --force

test: $(STAMP) ## Run the tests, the doctests and the image comparisons
	@rm -f $(ENDED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(MPL) -n $(TEST_WORKERS) --dist worksteal $(TEST_ARGS)
	@test -e $(ENDED) || { echo "pytest stopped before the end of the tests" >&2; exit 1; }

test-minimums: ## Run the tests with the lowest versions that pyproject.toml allows, in .venv-minimums
	$(PYTHON) -m venv .venv-minimums
	.venv-minimums/bin/python -m pip install -q --disable-pip-version-check uv
	.venv-minimums/bin/uv pip install -q --python .venv-minimums/bin/python --resolution lowest-direct \
	  $(if $(TORCH_INDEX),--torch-backend cpu) -e '.[$(MINIMUM_EXTRAS)]'
	OMP_NUM_THREADS=1 .venv-minimums/bin/python -m pytest -n $(TEST_WORKERS) --dist worksteal tests $(TEST_ARGS)

test-beside: ## Run the processors beside the pins of an analysis: make test-beside PINS="coffea==0.7.29 …"
	$(PYTHON) -m venv --clear .venv-beside
	.venv-beside/bin/python -m pip install -q --disable-pip-version-check -e . pytest $(foreach pin,$(PINS),"$(pin)")
	.venv-beside/bin/python -m pytest -c /dev/null --rootdir . --noconftest tests/integration/test_any_coffea.py

test-examples: $(STAMP) ## Run the tests of the samples and studies in analysis_examples
	@rm -f $(ENDED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(MPL) -n $(TEST_WORKERS) analysis_examples $(TEST_ARGS)
	@test -e $(ENDED) || { echo "pytest stopped before the end of the tests" >&2; exit 1; }

lint: $(STAMP) ## Run every static check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/repo-review .

docs: $(STAMP) ## Build the documentation into docs/_build/html
	@$(BIN)/python -c 'import myst_nb' 2>/dev/null \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[$(EXTRAS),docs]'
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -j 2 -W --keep-going -q -b html docs docs/_build/html

bench: $(STAMP) ## Measure costs and figures of merit; BENCH_ALL=1 adds millions of events (40 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks $(if $(BENCH_ALL),,-m "not slow") $(TEST_ARGS)

examples: $(STAMP) ## Run each example on a small input, into examples-output/
	@set -e; for script in $$(grep -lF '"--quick"' analysis_examples/*/*.py analysis_examples/papers/*/*.py); do \
	  echo "== $$script"; output="examples-output/$$(basename "$$script" .py)"; mkdir -p "$$output"; \
	  (cd "$$output" && MPLBACKEND=Agg OMP_NUM_THREADS=1 "$(CURDIR)/$(BIN)/python" "$(CURDIR)/$$script" --quick); \
	done

images: $(STAMP) ## Draw the reference images of the tests anew; look at them before committing
	@set -e; for figures in $$(find tests analysis_examples -name test_figures.py); do \
	  $(BIN)/python -m pytest "$$figures" --mpl-generate-path="$$(dirname "$$figures")/baseline" \
	    -W "ignore:Ignoring --mpl-baseline-path:UserWarning"; \
	done

clean: ## Remove outputs and caches, keep .venv
	rm -rf bench-output build demo-output demo-output-work dist docs/_build docs/generated examples-output images-output htmlcov
	rm -rf .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests analysis_examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
