# What a developer does here. Each target first builds its part of .venv; `make` alone lists them.
# ARGS goes to the command: make run ARGS="--port 8401", make test ARGS="-k retry".

BIN := .venv/bin
ARGS ?=
LOCKED := pyproject.toml uv.lock requirements-bootstrap.txt scripts/environment.sh

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test servers check proof bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.ready-run ## start the gateway on http://127.0.0.1:8400
	@exec $(BIN)/tidyllm serve $(ARGS)

test: .venv/.ready-dev servers ## run the tests; fails under 90 % branch coverage
	@$(BIN)/pytest -n auto --maxprocesses 8 --dist loadgroup --cov --cov-report term:skip-covered $(ARGS)

# The tests start their own Postgres and Redis on free ports; here their programs are installed.
servers:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || scripts/apt.sh postgresql
	@command -v redis-server >/dev/null 2>&1 || scripts/apt.sh redis-server

# pyright's wrapper would ask the network for a newer version; the one in uv.lock is the one we want.
check: .venv/.ready-dev ## lock file, lint, format, types (code and tests), the map of the house
	$(BIN)/uv lock --check --offline --quiet
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/pytest -q tests/test_layers.py

proof: .venv/.ready-dev servers ## run the slow proofs
	@$(BIN)/pytest -m proof --timeout 1800 $(ARGS)

bench: .venv/.ready-dev ## measure us beside our peers (installs nginx and wrk where they are missing)
	@{ command -v nginx || test -x /usr/sbin/nginx; } >/dev/null 2>&1 && command -v wrk >/dev/null 2>&1 || scripts/apt.sh nginx wrk
	@$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/.ready-docs ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

clean: ## remove .venv and everything that the targets made
	rm -rf .venv site dist build .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

.venv/.ready-%: $(LOCKED)
	@scripts/environment.sh $*
