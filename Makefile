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

.PHONY: help demo run test coverage lint fuzz bench bench-full system-packages clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: .venv/server.stamp  ## Run the main job on generated data, then leave the site running (ONCE=1: stop after the job)
	@echo "Starting the demo …"
	@exec $(BIN)/python manage.py demo

run: .venv/server.stamp  ## Serve the site, without demo data
	@exec $(BIN)/python manage.py serve

# Four at once on two cores: many tests wait, for a second between two requests to a host for instance. Many start
# processes, so modules are compiled once, also where PYTHONDONTWRITEBYTECODE is set.
test: .venv/tools.stamp system-packages  ## Run all tests, on servers of their own
	@$(BIN)/python -m compileall -q expunge registry takedowns
	@$(BIN)/python -m pytest -n 4 --dist worksteal

coverage: .venv/tools.stamp system-packages  ## Run all tests and say which lines of the engine and of services none ran
	@$(BIN)/python -m pytest -n 4 --dist worksteal --cov --cov-report=
	@$(BIN)/python -m coverage report --skip-covered --include='expunge/*'
	@$(BIN)/python -m coverage report --skip-covered --include='registry/**/services*.py,registry/**/services/*.py,takedowns/**/services*.py,takedowns/**/services/*.py'

lint: .venv/tools.stamp  ## Check style, types, layers, migrations, deployment settings and the API's description
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy expunge registry takedowns tests manage.py
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@sh .ci/check-deploy "$(BIN)/python"
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

bench: .venv/bench.stamp  ## Measure each budget beside its peers, at small sizes (a quarter of an hour)
	@PYTHONPATH="$(CURDIR)/.venv/bench" PATH="$(CURDIR)/.venv/bench/bin:$$PATH" $(BIN)/python benchmarks/run.py

bench-full: .venv/bench.stamp  ## The same with 100 million rows; makes 35 GB of data under var/bench (an hour)
	@PYTHONPATH="$(CURDIR)/.venv/bench" PATH="$(CURDIR)/.venv/bench/bin:$$PATH" $(BIN)/python benchmarks/run.py --full

fuzz: .venv/fuzz.stamp  ## Cut 2,000 random Parquet files of five writers, read them back (FUZZ="--files N --seed S --seconds T")
	@PYTHONPATH=.venv/fuzz $(BIN)/python -m tests.fuzz.parquet $(FUZZ)

clean:  ## Remove the virtual environment and caches; var/ (your data) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info

.venv/server.stamp: requirements.txt pyproject.toml
	@sh .ci/install requirements.txt
	@touch $@

.venv/tools.stamp: requirements-dev.txt requirements.txt pyproject.toml
	@sh .ci/install requirements-dev.txt
	@touch $@ .venv/server.stamp

# Spark: 400 MB that nothing else needs, and of no use without Java; so in a folder of its own.
.venv/fuzz.stamp: requirements-fuzz.txt .venv/tools.stamp
	@if command -v java >/dev/null; then \
		echo "Installing requirements-fuzz.txt into .venv/fuzz …"; \
		$(BIN)/python -m pip install -qq --no-input --root-user-action=ignore --upgrade --target .venv/fuzz -r requirements-fuzz.txt; \
	fi
	@touch $@

# Peers: of no use to anybody who does not measure.
.venv/bench.stamp: requirements-bench.txt .venv/tools.stamp
	@echo "Installing requirements-bench.txt into .venv/bench …"
	@$(BIN)/python -m pip install -qq --no-input --root-user-action=ignore --no-deps --upgrade --target .venv/bench -r requirements-bench.txt
	@touch $@

# Programs that tests drive and that no wheel carries.
system-packages:
	@sh .ci/system-packages minisign chromium curl wget
