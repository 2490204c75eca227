"""How often a gate is right: whole gates of two revisions that are the same, or of which one is slower by a known part.

    python benchmarks/gates.py 10              identical revisions: no gate may fail; about half an hour
    python benchmarks/gates.py 10 --busy 5     head waits, busy, for 5% of an operation in one cell, which must fail

The default table: three scenarios, three drivers, at the ORM. The busy-wait is in point_reads with asyncpg.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from dbbench import catalog
from dbbench.catalog import DEFAULT as SCENARIOS

FAIL: Final = "fail"
GIT: Final = shutil.which("git") or "git"
SLOW: Final = ("point_reads", "asyncpg")
BUSY: Final = """
_plain = orm


async def orm(session, params, rng):
    from time import perf_counter_ns

    if session.get_bind().dialect.driver == "asyncpg":
        until = perf_counter_ns() + {ns}
        while perf_counter_ns() < until:
            pass
    return await _plain(session, params, rng)
"""


def dbbench(*arguments: str) -> Any:
    """Run a command of dbbench; returns its JSON document."""
    command = [sys.executable, "-m", "dbbench", *arguments, "--format", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)


def commit(folder: Path, tag: str) -> None:
    """Commit whatever is in the folder, as a tag."""
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    for command in (["add", "-A"], [*who, "commit", "-qm", tag, "--allow-empty"], ["tag", tag]):
        subprocess.run([GIT, "-C", str(folder), *command], check=True)


def revisions(folder: Path, busy: float, results: Path) -> None:
    """A project with the built-in scenarios in which head is slower by a share of an operation."""
    subprocess.run([GIT, "init", "-q", str(folder)], check=True)
    for path in catalog.builtin()["point_reads"].parent.glob("*.py"):
        if path.stem in SCENARIOS or path.stem.startswith("_"):
            shutil.copy(path, folder)
    commit(folder, "base")
    if busy:
        scenario, driver = SLOW
        found = dbbench(
            "run", scenario, "--driver", driver, "--baseline", driver, "--placement", "shared", "--blocks", "4",
            "--output", str(results / "speed.jsonl"),
        )  # fmt: skip
        ns = round(busy * 1e9 / found["cells"][0]["ops_per_second"])
        print(f"a busy-wait of {ns / 1e3:.1f} us, {busy:.1%} of an operation")
        with (folder / f"{scenario}.py").open("a") as file:
            file.write(BUSY.format(ns=ns))
    commit(folder, "head")


def main() -> None:
    """Run the gates, and print a line for each and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gates", type=int)
    parser.add_argument("--busy", type=float, default=0.0, help="per cent of an operation")
    asked = parser.parse_args()
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, results = Path(name) / "project", Path(name)
        revisions(folder, asked.busy / 100, results)
        scenarios = [str(folder / f"{each}.py") for each in SCENARIOS]
        for number in range(asked.gates):
            output = results / f"gate{number}.jsonl"
            found = dbbench("gate", *scenarios, "--project", str(folder), "--base", "base", "--output", str(output))
            failed = [f"{row['scenario']} {row['driver']}" for row in found["cells"] if row["verdict"] == FAIL]
            verdicts[found["verdict"]] += 1
            said = f"{found['verdict']} after {found['run']['measured_s']:.0f} s"
            print(": ".join(filter(None, (said, ", ".join(failed)))), flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))


if __name__ == "__main__":
    main()
