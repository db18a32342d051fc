# Weir: `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test check lint format types imports tests-with-coverage e2e bench soak chaos lock contracts clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
REPORTS ?= var/reports
SOAK ?=
# Percent of lines and branches that the whole suite must reach; 0 only reports.
COVERAGE ?= 90
# The same for what a decision rests on: policy, rules, features and the protocol.
CORE_COVERAGE ?= 100
CORE := risk/policy.py,risk/rules/*,risk/engine.py,risk/judgement.py,risk/domain/*,features/*
# Looks back at what was decided and decides nothing; counted in the whole, not in the core.
PROOF := features/audit.py,features/leaks.py,features/log_digest.py,features/parity.py,features/proof/*
# Python finds our packages by their installation, never by the folder it was started in.
export PYTHONSAFEPATH := 1

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(STAMP) ## Build .venv from the hashed lock, fetch Kafka, compile the kernel
	@$(BIN)/weir setup

$(STAMP): requirements.lock pyproject.toml
	@python=""; for name in python3.12 python3.11 python3 python; do \
	  command -v $$name >/dev/null || continue; \
	  $$name -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	    2>/dev/null && { python=$$name; break; }; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Weir needs Python 3.11 or 3.12 with venv on PATH." >&2; \
	  echo "  Debian, Ubuntu: apt-get install python3 python3-venv" >&2; \
	  echo "  macOS: brew install python@3.12" >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] && $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || $$python -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## Start everything and send payments; ARGS="--seconds 30 --rate 300"
	@$(BIN)/weir run $(ARGS)

test: setup ## Run the tests; ARGS="-k money"
	@$(BIN)/pytest $(ARGS)

check: lint types imports tests-with-coverage ## Lint, types, import contracts, tests with coverage

lint: $(STAMP) ## Style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(STAMP) ## Rewrite files in the house format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

types: $(STAMP) ## mypy --strict, tests included
	@$(BIN)/mypy

imports: $(STAMP) ## Who may import whom
	@$(BIN)/lint-imports

tests-with-coverage: setup
	@$(BIN)/coverage erase
	@status=0; $(BIN)/coverage run -m pytest $(ARGS) || status=$$?; \
	$(BIN)/coverage combine --quiet || true; \
	$(BIN)/coverage report --format=total > $(VENV)/coverage-total || true; \
	echo "coverage: $$(cat $(VENV)/coverage-total) % of lines and branches (asked: $(COVERAGE) %)"; \
	echo "coverage of the core: $$($(BIN)/coverage report --include='$(CORE)' --omit='$(PROOF)' --format=total) % (asked: $(CORE_COVERAGE) %)"; \
	[ $$status -eq 0 ] || exit $$status; \
	$(BIN)/coverage report --include='$(CORE)' --omit='$(PROOF)' --fail-under=$(CORE_COVERAGE) > $(VENV)/coverage-report \
	  || { cat $(VENV)/coverage-report; echo "the core is below $(CORE_COVERAGE) %" >&2; exit 1; }; \
	$(BIN)/coverage report --fail-under=$(COVERAGE) > $(VENV)/coverage-report \
	  || { cat $(VENV)/coverage-report; echo "the whole is below $(COVERAGE) %" >&2; exit 1; }

e2e: setup ## The whole of it, on real parts
	@$(BIN)/pytest -m "services or fault" $(ARGS)

bench: setup ## Measure against baselines, in half an hour; reports in var/reports; ARGS="--rounds 1"
	@$(BIN)/weir bench stream --workers 2 --report $(REPORTS)/stream.json $(ARGS)
	@$(BIN)/weir bench http --report $(REPORTS)/http.json $(ARGS)
	@$(BIN)/weir bench memory --report $(REPORTS)/memory.json $(ARGS)
	@$(BIN)/weir bench model --report $(REPORTS)/model.json
	@$(BIN)/weir bench rules --report $(REPORTS)/rules.json $(ARGS)

soak: setup ## A million payments through one worker, a swap of the model, the long tests; SOAK="--report soak.json"
	@$(BIN)/weir bench soak $(SOAK)
	@$(BIN)/weir bench swap --report $(REPORTS)/swap.json
	@$(BIN)/pytest -m soak $(ARGS)

chaos: setup ## Long run under kills
	@$(BIN)/pytest -m chaos $(ARGS)

lock: ## Resolve requirements.lock anew from pyproject.toml (for maintainers; needs uv)
	@command -v uv >/dev/null || { echo "uv is not on PATH: python3 -m pip install uv" >&2; exit 1; }
	@uv pip compile pyproject.toml --universal --group dev --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

contracts: setup ## Rewrite JSON Schema, OpenAPI and AsyncAPI texts
	@$(BIN)/weir contracts $(ARGS)

clean: ## Remove the environment and tool caches; the state folder stays
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
