"""PgBouncer, for tests that need one."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.server.pgbouncer import (
    Mode,
    PoolerSettings,
    RunningPooler,
    find,
    pooler,
    supports_prepared_statements,
    version,
)


def pgbouncer() -> Path:
    """Find it, or skip the test; with DBBENCH_TEST_ALL nothing is skipped."""
    try:
        return find()
    except CannotStartError as error:
        return _missing(str(error))


def new_pgbouncer() -> Path:
    """Find one that knows max_prepared_statements, or skip the test."""
    program = pgbouncer()
    if not supports_prepared_statements(version(program)):
        return _missing(f"{program} is too old for max_prepared_statements: put a newer one on PATH (.ci/pgbouncer)")
    return program


def _missing(reason: str) -> Path:
    if os.environ.get("DBBENCH_TEST_ALL"):
        pytest.fail(f"{reason}, and DBBENCH_TEST_ALL is set")
    pytest.skip(reason)


def bare(
    upstream: Address, mode: Mode, *aliases: str, size: int = 2, schema: str = "public"
) -> AbstractContextManager[RunningPooler]:
    """Run a pooler that follows no prepared statements, as all did before 1.21, in front of few connections."""
    return pooler(upstream, PoolerSettings(mode, 0, size), dict.fromkeys(aliases, schema))
