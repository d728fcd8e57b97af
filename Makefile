# Needs Python 3.11 or newer and make; everything else is installed into .venv from locked, hash-checked files.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.bench-installed

.PHONY: help demo test check lint format bench bench-full sandbox lock parts clean

help: ## what can be done here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1 ## /' | column -t -s '##' 2>/dev/null || grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv with $(PYTHON) (once; about a minute) ..."
	@$(PYTHON) -m venv .venv || { echo "python's venv module is missing; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## run the whole way a row goes, on an embedded PostgreSQL and an Omnisend stand-in
	@$(BIN)/soldt-outbox demo $(ARGS)

sandbox: $(STAMP) ## the same world, left running, to try things in
	@$(BIN)/soldt-outbox sandbox $(ARGS)

test: $(STAMP) ## every test this machine has the parts for; says at the end what it had to leave out
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

check: $(STAMP) ## lint, format, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## put the code into the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(BENCH_STAMP): $(STAMP) requirements/bench.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(BENCH_STAMP) ## ratios side by side: what the trigger costs, how fast a backlog drains, beside other queues and HTTP clients
	@$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(BENCH_STAMP) ## the same with full row counts
	@$(BIN)/python -m benchmarks --full $(ARGS)

parts: ## the optional Node parts of the tests: PostgREST and the Supabase CLI
	npm ci --prefix tests/parts --no-audit --no-fund

lock: ## recompute requirements/*.txt from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra supabase -o requirements/worker.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra supabase --extra sandbox --group dev \
		-c requirements/worker.txt -o requirements/dev.txt pyproject.toml requirements/build.in
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group pyproject.toml:bench \
		-c requirements/dev.txt -o requirements/bench.txt

clean: ## remove what was set up and built
	rm -rf .venv node_modules tests/parts/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build .run
