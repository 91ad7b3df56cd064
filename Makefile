# What a developer types; `make` alone lists it. Python and its packages live in .venv, the real parts
# that the tests run against (Kafka, Telegraf, InfluxDB) in .tools.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast faults check docs coverage bench real-parts lock release-check clean

# The first Python that is new enough; `make PYTHON=…` names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$python && break; done)
DEMO_ARGS ?=
TEST_ARGS ?=
# How many tests run at a time, each process with its own brokers and databases; the tests of a file stay together.
TEST_PROCESSES ?= 2
PYTEST = $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
TESTS := tests pipeline/core schemas topics tools
BENCH_ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/.installed
WARMED := .venv/.warmed

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(WARMED) ## Make .venv with the package, its development tools and its compiled kernels

demo: install ## Watch a simulated fleet being aggregated (DEMO_ARGS='--duration 60s')
	$(BIN)/cinnamon up --simulate 50 --every 5s $(DEMO_ARGS)

check: install ## Linters, types, layers, doctests and the core's tests: what a commit must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -x -m 'not real' pipeline/core schemas topics tools tests/core tests/docs

docs: install ## Write the generated pages of docs/reference from the code
	$(BIN)/python -m tools.reference

# The longest files come first, so that none is left alone at the end.
test-fast: install ## All tests that need no server (TEST_ARGS='-k …')
	$(PYTEST) -q -m 'not server and not wheel' tests/stages/detect tests/runtime tests/core $(TESTS) $(TEST_ARGS)

test: install ## All tests (TEST_ARGS='-k …'); those on real parts are skipped where `make real-parts` was not run
	$(PYTEST) tests/faults tests/stages tests/runtime $(TESTS) $(TEST_ARGS)

faults: install ## Kills, rebalances, outages and bad input at full size, on a real Kafka and InfluxDB (CINNAMON_FAULT_SEED=…)
	CINNAMON_FAULTS=full CINNAMON_REQUIRE_REAL=1 $(BIN)/pytest tests/faults $(TEST_ARGS)

coverage: install ## Lines and branches that the tests without servers reach, by package
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m 'not real and not wheel' $(TEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tools.coverage_by_package

bench: install ## Measure the worker against plain Faust and a plain loop, on a real Kafka broker
	tests/real/parts/build.sh kafka
	$(BIN)/python -m bench.end_to_end $(BENCH_ARGS)

real-parts: ## Put a real Kafka broker, Telegraf and InfluxDB into .tools (about six minutes, once)
	tests/real/parts/build.sh

# Resolved for every Python and platform that the package is for; each file by its hash, from wherever pip fetches it.
lock: .venv/bin/python ## Remake deploy/requirements.lock, the versions that an image installs
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'; \
	{ echo "# What cinnamon-stream needs to run, each file by its hash; remade by make lock."; \
	"$$folder/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml; } > deploy/requirements.lock.new; \
	mv deploy/requirements.lock.new deploy/requirements.lock

# The files of the last commit, so that nothing else that lies about comes in; the wheel is built from the source distribution.
release-check: install ## Build, check, install and try what a release would publish (docs/how-to/release.md)
	rm -rf dist
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	git archive HEAD | tar -x -C "$$folder"; \
	$(BIN)/python -m build --outdir dist "$$folder"
	$(BIN)/twine check --strict dist/*
	CINNAMON_DIST=dist $(BIN)/pytest -q tests/deploy

clean: ## Remove .venv and all that was made, but not .tools
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cinnamon .coverage*
	find bench pipeline schemas tests topics -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer was found; install one, or name it: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "make: $(PYTHON) cannot make .venv (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(INSTALLED): pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The kernels are compiled once, here, and not on a user's first record. numba looks at the time of a kernel's own file
# alone, not of those that it calls into: so what an earlier version left is removed first.
$(WARMED): $(INSTALLED) $(shell find pipeline/core -name '*.py')
	find pipeline -name '*.nb[ic]' -delete
	$(BIN)/python -m pipeline.core.warm
	@touch $@
