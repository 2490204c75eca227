"""Faults on purpose: commands are killed and interrupted at random moments, and everything is looked at afterwards.

    python benchmarks/faults.py                               200 kills and 200 double signals; about half an hour
    python benchmarks/faults.py --kills 20 --signals 20       a few minutes

Half of the commands work on a server of their own, half on one that stands for the user's, with tables and views of
somebody else. Each case has a folder for results and one for temporary files of its own, and must leave neither a torn
or empty result file, nor a process, nor a schema, nor a folder that `dbbench clean` does not find, nor a traceback; and
what is the user's must be as it was. What a case does is drawn from its seed, which is printed where it fails.
"""

import argparse
import collections
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
from rich.console import Console
from rich.table import Table

from dbbench import result_file
from dbbench.address import Address
from dbbench.errors import UnreadableError
from dbbench.server.embedded import embedded_server
from dbbench.server.schemas import connect

SMALL: Final = ("point_reads", "--set", "rows=100")
TWO: Final = ("-d", "psycopg2,asyncpg", "--baseline", "psycopg2")
ALIKE: Final = ("--base-python", sys.executable, "--head-python", sys.executable)
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "run": ("run", *SMALL, *TWO, "--budget", "2"),
    "run --rtt": ("run", *SMALL, *TWO, "--rtt", "0,1ms", "--layer", "core", "--budget", "2"),
    "run --pooler": ("run", *SMALL, "-d", "psycopg2", "--baseline", "psycopg2", "--pooler", "session", "--blocks", "1"),
    "wire": ("wire", *SMALL, "--layer", "core"),
    "capacity": ("capacity", *SMALL, "-d", "psycopg2", "--slo", "p99<1s", "--max-rate", "100"),
    "gate": ("gate", *SMALL, *ALIKE, "-d", "psycopg2", "--budget", "2"),
    "gate --wire": ("gate", *SMALL, *ALIKE, "-d", "psycopg2", "--wire"),
    "selfcheck": ("selfcheck", "--seconds", "1"),
    "doctor": ("doctor",),
}
OF_ANY_SERVER: Final = frozenset(COMMANDS) - {"selfcheck"}
GAPS_S: Final = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # between two signals
PATIENCE_S: Final = 90.0  # for everything to be gone
THEIRS: Final = """
    CREATE TABLE orders (id int PRIMARY KEY, note text);
    CREATE TABLE lines (id int REFERENCES orders, quantity int DEFAULT 1);
    CREATE VIEW latest AS SELECT max(id) FROM orders;
    CREATE SCHEMA dbbench_ffffff_0;
    CREATE TABLE dbbench_ffffff_0.mine (id int);
    INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 100) n
"""
STATE: Final = """
    SELECT string_agg(format('%s %s.%s %s', relkind, relnamespace::regnamespace, relname, pg_get_viewdef(oid)), chr(10)
                      ORDER BY relnamespace::regnamespace::text, relname)
      FROM pg_class WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One command, and what is done to it."""

    seed: str
    command: str
    users_server: bool
    signals: tuple[signal.Signals, ...]
    moment: float  # of the first, as a share of the command's usual time
    gap_s: float  # to the second


def drawn(seed: str, *, kill: bool) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    command = rng.choice(list(COMMANDS))
    polite = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return Case(
        seed=seed,
        command=command,
        users_server=command in OF_ANY_SERVER and bool(rng.getrandbits(1)),
        signals=(signal.SIGKILL,) if kill else (rng.choice(polite), rng.choice(polite)),
        moment=rng.random(),
        gap_s=rng.choice(GAPS_S),
    )


class Place:
    """The folders of one case, and the variables that make them its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.temporary, self.results = self.folder / "t", self.folder / "results"
        self.temporary.mkdir(mode=0o777)
        for each in (self.folder, self.temporary):
            each.chmod(0o755 if each is self.folder else 0o1777)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "DBBENCH_MARK": self.folder.name,
            "COLUMNS": "80",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start dbbench here."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "dbbench", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[int]:
        """The processes that work here: they have its variables, or its folder among their arguments."""
        word, found = self.folder.name.encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if any(word in (entry / name).read_bytes() for name in ("environ", "cmdline")):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> bool:
    """Wait for something to become true; gives whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def url_of(address: Address) -> str:
    """The server as the user names it."""
    return f"postgresql://{address.user}@/{address.database}?host={address.host}&port={address.port}"


class Bench:
    """The user's server, and how long each command usually takes."""

    def __init__(self, address: Address) -> None:
        self._url = url_of(address)
        self._address = address
        with connect(address, "faults") as connection:
            connection.execute(THEIRS)
        self.theirs = self.state()
        self.usual_s: dict[str, float] = {}

    def state(self) -> str:
        """All relations in the database besides those of a run that is going on."""
        with connect(self._address, "faults") as connection:
            (state,) = connection.execute(STATE).fetchone()
        return str(state)

    def arguments(self, command: str, *, users_server: bool) -> Sequence[str]:
        """The whole command line."""
        allowed = () if command == "doctor" else ("--allow-production",)
        return (*COMMANDS[command], *(("--url", self._url, *allowed) if users_server else ()))

    def measure(self) -> None:
        """See how long each command takes by itself."""
        for command in COMMANDS:
            place = Place()
            began = time.monotonic()
            process = place.start(*COMMANDS[command])
            process.communicate()
            self.usual_s[command] = time.monotonic() - began
            shutil.rmtree(place.folder, ignore_errors=True)

    def tried(self, case: Case) -> list[str]:
        """Run one case; gives what was not as promised."""
        place = Place()
        try:
            return list(self._tried(case, place))
        finally:
            for pid in place.processes():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(place.folder, ignore_errors=True)

    def _tried(self, case: Case, place: Place) -> Iterator[str]:
        process = place.start(*self.arguments(case.command, users_server=case.users_server))
        time.sleep(case.moment * self.usual_s[case.command])
        for number, signum in enumerate(case.signals):
            if number:
                time.sleep(case.gap_s)
            process.send_signal(signum)
        try:
            _, stderr = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            yield "hangs"
            return
        if "Traceback" in stderr or "this is a bug" in stderr or process.returncode == 70:  # noqa: PLR2004
            yield f"traceback or bug: {stderr[-300:]}"
        if not eventually(lambda: not place.processes()):
            yield f"processes left: {len(place.processes())}"
        yield from self._files(place)
        yield from self._left(place)

    def _files(self, place: Place) -> Iterator[str]:
        for file in place.results.glob("*"):
            try:
                result_file.read_any(file)
            except UnreadableError as error:
                yield f"result file: {error.reason}"

    def _left(self, place: Place) -> Iterator[str]:
        """What `dbbench clean` does not find."""
        process = place.start("clean", "--yes", "--url", self._url)
        said, complained = process.communicate(timeout=PATIENCE_S)
        if process.returncode:
            yield f"clean: {said} {complained}"
        if folders := [each.name for each in place.temporary.glob("*") if any(each.rglob("*"))]:
            yield f"folders left: {folders}"


def main() -> None:
    """Try what the command line asks for, and print the counts; ends with 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--seed", default=f"{random.randrange(10**6)}")
    asked = parser.parse_args()
    cases = [
        drawn(f"{asked.seed}/{kind}/{number}", kill=kind == "kill")
        for kind, count in (("kill", asked.kills), ("signals", asked.signals))
        for number in range(count)
    ]
    console = Console()
    with embedded_server(cpus=None, max_connections=400) as server:
        bench = Bench(server.address)
        bench.measure()
        with ThreadPoolExecutor(asked.jobs) as pool:
            found = list(pool.map(bench.tried, cases))
        try:
            same = bench.state() == bench.theirs
        except psycopg.Error as error:
            same = False
            console.print(f"the user's server: {error}")
    table = Table("what", "cases", "not as promised", box=None)
    counts: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for case, problems in zip(cases, found, strict=True):
        kind = "kill" if len(case.signals) == 1 else "two signals"
        row = counts[f"{case.command}, {'--url' if case.users_server else 'embedded'}, {kind}"]
        row[0] += 1
        row[1] += bool(problems)
        for problem in problems:
            console.print(f"{case}: {problem}", markup=False)
    for what, (tried, failed) in sorted(counts.items()):
        table.add_row(what, str(tried), str(failed))
    console.print(table)
    bad = sum(map(bool, found))
    console.print(
        f"seed {asked.seed}: {len(cases)} cases, {bad} not as promised; what is the user's is as it was: {same}"
    )
    sys.exit(bad > 0 or not same)


if __name__ == "__main__":
    main()
