# Everything a contributor runs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run test faults check format schema schema-baseline lock bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

run: $(READY) ## Start Tickwheel here: PostgreSQL, Redis, API and worker in one command
	@exec $(BIN)/tickwheel dev

test: $(READY) ## Run every test on embedded services
	@$(BIN)/python -m tests.run

faults: $(READY) ## Each fault in its long form, and simulated seeds, for at most an hour
	@$(BIN)/python -m tests.faults

check: $(READY) ## What CI runs: format, lint, types, imports, generated files, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m app.generate --check
	@$(MAKE) --no-print-directory test

format: $(READY) ## Rewrite the code in the house format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

schema: $(READY) ## Regenerate schema.graphql, the settings table and the table dump
	$(BIN)/python -m app.generate

schema-baseline: $(READY) ## Accept what breaks clients of the schema, on purpose: tests compare with it
	$(BIN)/python -m tests.schema.breaking

bench: $(READY) ## Measure: each figure with its baseline in the same run
	$(BIN)/python -m bench

lock: $(READY) ## Resolve pyproject.toml into requirements/*.txt
	@requirements/lock $(BIN)/uv

clean: ## Remove the environment and every cache (the data directory stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

# The environment: locked, with hashes, made anew when a lock changes.
$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@requirements/environment "$(PYTHON)" "$(VENV)"
	@touch $@
