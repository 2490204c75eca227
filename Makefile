# The whole project in a few commands; each makes .venv when it is needed.
#
#   make bench   measure the drivers on this machine (make bench ARGS="--driver asyncpg")
#   make test    all tests
#   make lint    ruff and mypy
#   make docs    docs/cli.md, from the commands
#   make wheel   dist/dbbench-*.whl
#   make clean   remove .venv and everything that was made

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.PHONY: bench test lint docs wheel clean

# 120 s, so that a slow machine, too, gets the nine blocks that the intervals of ten rows need.
bench: .venv/installed
	$(BIN)/dbbench run $(or $(ARGS),--budget 120)

test: .venv/installed-dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev
	$(BIN)/python docs/cli_reference.py

wheel: .venv/installed
	PIP_CONSTRAINT=constraints.txt $(PIP) wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("dbbench needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[uvloop]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) --editable '.[uvloop,dev]'
	@touch $@
