# The whole project in a few commands; each makes .venv when it is needed.
#
#   make bench      measure the drivers on this machine (make bench ARGS="--driver asyncpg")
#   make check      lint, and the tests that start no process: while you work
#   make test       all tests but the slow ones: before a change lands (make test ARGS="tests/real/test_drivers.py -x")
#   make test-all   all tests
#   make lint       ruff, mypy, and zizmor for the workflows
#   make minimums   the lowest versions that pyproject.toml allows
#   make lock       requirements.txt and the like, after a change of pyproject.toml (make lock ARGS=--upgrade)
#   make audit      whether a locked package has known vulnerabilities (asks a service on the internet)
#   make docs       docs/cli.md, from the commands, and docs/types.md, from the tests' table of types
#   make wheel      dist/dbbench-*.whl
#   make clean      remove .venv and everything that was made

# Tests start hundreds of processes: without compiled files each would compile dbbench anew.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
BIN := .venv/bin
PIP := -m pip --disable-pip-version-check --quiet
# Only files whose hashes are in a lock, and no source packages: what builds those would come without hashes.
LOCKED := $(PIP) install --require-hashes --only-binary :all:

PYTEST := $(BIN)/python -m pytest
SHARED := -n 2 --dist loadgroup -m 'not alone'

# All tests of two processes, then those by themselves that nothing may run beside. Both parts always run; 5 means that
# nothing was selected, which is fine for one of them.
define two_parts
	@$(PYTEST) $(SHARED) $(1) $(ARGS); shared=$$?; \
	$(PYTEST) -m alone $(1) $(ARGS); alone=$$?; \
	case "$$shared $$alone" in "0 0" | "0 5" | "5 0") ;; *) exit 1 ;; esac
endef

.PHONY: bench check test test-all lint minimums lock audit docs wheel clean

# 120 s, so that a slow machine, too, gets the nine blocks that the intervals of ten rows need.
bench: .venv/installed
	$(BIN)/dbbench run --next $(or $(ARGS),--budget 120)

check: .venv/installed-dev
	@$(MAKE) --no-print-directory lint; lint=$$?; \
	$(PYTEST) $(SHARED) tests/test_house.py tests/pure tests/engine $(ARGS) && exit $$lint

test: .venv/installed-dev
	@$(if $(ARGS),,$(BIN)/python tests/programs.py)
	$(call two_parts,--ignore=tests/slow)

test-all: .venv/installed-dev
	$(call two_parts)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet --strict-collection --persona pedantic .github action.yml

minimums:
	PYTHON=$(PYTHON) .ci/minimums $(ARGS)

lock:
	PYTHON=$(PYTHON) .ci/lock $(ARGS)

audit: build/audit/installed
	PATH="$(CURDIR)/build/audit/bin:$$PATH" .ci/audit

docs: .venv/installed-dev
	$(BIN)/python docs/cli_reference.py
	PYTHONPATH=tests $(BIN)/python tests/types_table.py

wheel: .venv/installed
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("dbbench needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(LOCKED) --requirement requirements.txt
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python $(LOCKED) --requirement requirements.txt --requirement requirements-dev.txt
	@touch $@

build/audit/installed: .ci/requirements-audit.txt
	$(PYTHON) -m venv build/audit
	build/audit/bin/python $(LOCKED) --requirement .ci/requirements-audit.txt
	@touch $@
