# The two commands to know: `make demo` and `make test`. `make help` lists the rest.
# Names of files are relative throughout, so a path with a space in it does no harm.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1
ONCE ?=
export ONCE

.PHONY: help demo run test lint bench system-packages clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: .venv/server.stamp  ## Run the main job on generated data, then leave the site running (ONCE=1: stop after the job)
	@echo "Starting the demo …"
	@exec $(BIN)/python manage.py demo

run: .venv/server.stamp  ## Serve the site, without demo data
	@exec $(BIN)/python manage.py serve

test: .venv/tools.stamp system-packages  ## Run all tests, on servers of their own
	@$(BIN)/python -m pytest -n 2 --cov --cov-report=
	@$(BIN)/python -m coverage report --skip-covered --include='expunge/*'
	@$(BIN)/python -m coverage report --skip-covered --include='registry/*/services*,registry/*/services/*,takedowns/*/services*,takedowns/*/services/*'

lint: .venv/tools.stamp  ## Check style, types, layers, migrations, deployment settings and the API's description
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy expunge registry takedowns tests manage.py
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@sh .ci/check-deploy "$(BIN)/python"
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

bench: .venv/tools.stamp  ## Measure what the budgets promise, beside a peer
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:  ## Remove the virtual environment and caches; var/ (your data) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info

.venv/server.stamp: requirements.txt pyproject.toml
	@sh .ci/install requirements.txt
	@touch $@

.venv/tools.stamp: requirements-dev.txt requirements.txt pyproject.toml
	@sh .ci/install requirements-dev.txt
	@touch $@ .venv/server.stamp

# Programs that tests drive and that no wheel carries.
system-packages:
	@sh .ci/system-packages minisign chromium
