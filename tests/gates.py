"""Two environments that a gate can tell apart, and scenarios that do."""

import tempfile
from pathlib import Path

LAYOUT = ("--layer", "raw", "--sessions", "1", "--pool-size", "1", "--max-overflow", "0", "--seed", "11")
# Slower in one environment alone, which it knows by a file that only that one has.
SLOW_IN_HEAD = '''"""As long in both, but for a marker."""
import importlib.util, time

FACTOR = 2.0 if importlib.util.find_spec("only_in_head") else 1.0


async def raw(db, params, rng):
    end = time.perf_counter() + 0.001 * FACTOR
    row = await db.fetch_one("SELECT 1")
    while time.perf_counter() < end:
        pass
    return row[0]
'''
STEADY = SLOW_IN_HEAD.replace("only_in_head", "nowhere_at_all")


def interpreters(pythons: tuple[Path, Path]) -> list[str]:
    return ["--base-python", str(pythons[0]), "--head-python", str(pythons[1])]


def leftovers() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("dbbench-gate-*")}
