"""`dbbench doctor` on real machines and servers, and where something is missing."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import PASSWORD, Cli, connect, url_of
from pgbouncers import bare, new_pgbouncer, pgbouncer
from rich.console import Console

from dbbench.address import Address
from dbbench.cli.command import _SHOWN_BY_PS
from dbbench.cli.progress import watcher
from dbbench.commands import doctor
from dbbench.commands.check import Check
from dbbench.drivers import DEFAULT, DRIVERS
from dbbench.engine import busy
from dbbench.engine.exclusive import exclusive
from dbbench.plan import Placement
from dbbench.reports.doctor import render
from dbbench.server import pgbouncer as module
from dbbench.server.pgbouncer import Mode
from dbbench.server.pooler_detection import cure, detect, guess

PROGRAM = (sys.executable, "-P", "-m", "dbbench", "doctor")
Patched = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def patched(tmp_path: Path) -> Patched:
    """Run doctor in a program in which something is different."""

    def run_patched(patch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        source = f"import sys\n{patch}\nimport dbbench.__main__\nsys.argv[1:1] = ['doctor']\ndbbench.__main__.main()\n"
        return subprocess.run(
            [sys.executable, "-c", source, *arguments],
            cwd=tmp_path, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run_patched


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """Read the checks of a JSON document, by name; nothing else is said, unless it is of a password in --url."""
    assert done.stderr in {"", f"dbbench: {_SHOWN_BY_PS}\n"}
    document = json.loads(done.stdout)
    assert list(document) == ["ok", "checks"]
    assert document["ok"] == (done.returncode == 0)
    for check in document["checks"]:
        assert list(check) == ["name", "status", "detail", "remedy"]
        assert check["status"] in {"ok", "note", "missing", "problem"}
    return {check["name"]: check for check in document["checks"]}


@pytest.fixture
def sessions(foreign: Address) -> Iterator[Callable[[int], None]]:
    """Open sessions on the user's server that are not dbbench's."""
    with connect(foreign) as owner:

        def wait_for_others() -> None:
            query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            while owner.execute(query).fetchone() != (1,):  # they end a little later than their connections
                time.sleep(0.01)

        wait_for_others()  # those of tests before
        with ExitStack() as stack:

            def open_(number: int) -> None:
                for _ in range(number - 1):  # and the owner's
                    stack.enter_context(connect(foreign))

            yield open_
        wait_for_others()


# --- this machine ----------------------------------------------------------------------------------------------------


def test_a_fine_machine_has_all_that_a_run_needs_and_nothing_is_left_behind(dbbench: Cli, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        done = dbbench("doctor", "--format", "json", TMPDIR=folder)
        assert list(Path(folder).iterdir()) == []
    found = checks(done)

    assert done.returncode == 0
    assert {"Python", "dbbench", "sqlalchemy", "greenlet", "pyperf", "uvloop", "CPUs", "results"} <= set(found)
    assert all(found[driver]["status"] == "ok" for driver in ("psycopg", "asyncpg", "psycopg2", "psycopg-sync"))
    assert "libpq 1" in found["psycopg"]["detail"]
    assert "psycopg-pool 3" in found["psycopg"]["detail"]
    assert found["PostgreSQL"]["detail"].startswith("18.")
    assert "with pgbench" in found["PostgreSQL"]["detail"]
    assert "started in" in found["server"]["detail"]
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_list_of_80_columns_with_a_word_for_each_status(foreign: Address, program: Cli) -> None:
    done = program("doctor", "--env-url", DATABASE_URL=url_of(foreign), PYTHONIOENCODING="ascii", LC_ALL="C")
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, lines)) <= 80
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert [line.split()[:2] for line in lines if "asyncpg" in line] == [["ok", "asyncpg"]]
    assert lines[-1].rstrip() == "Everything is there that dbbench run needs."


def test_a_terminal_gets_colours_unless_it_does_not_want_them(foreign: Address, tmp_path: Path) -> None:
    def printed(**environment: str) -> bytes:
        leader, follower = pty.openpty()
        with subprocess.Popen(
            [*PROGRAM, "--url", url_of(foreign)], cwd=tmp_path, stdout=follower,
            env={**os.environ, "TERM": "xterm", **environment},
        ) as process:  # fmt: skip
            os.close(follower)
            output = b"".join(iter(lambda: _read(leader), b""))
        os.close(leader)
        assert process.returncode == 0
        return output

    assert b"\x1b[32mok" in printed()
    assert b"\x1b[3" not in printed(NO_COLOR="1")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_who_reads_may_stop(tmp_path: Path) -> None:
    command = f"{' '.join(PROGRAM)} --url postgresql://u@127.0.0.1:1/d | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in {"0", "4"}  # 4 when head has not ended before all is written


def test_what_a_check_says_means_itself() -> None:
    file = io.StringIO()
    render([Check("server", "problem", "[red]x[/red] \x1b[31m:boom:", "[link]")], Console(file=file, width=80))

    assert file.getvalue().splitlines()[0].rstrip() == "problem  server  [red]x[/red] [31m:boom:"
    assert "[link]" in file.getvalue()


def test_help_has_examples(dbbench: Cli) -> None:
    done = dbbench("doctor", "--help")
    assert "dbbench doctor --url postgresql://" in done.stdout


# --- what is missing -------------------------------------------------------------------------------------------------

ABSENT = (
    "import dataclasses\nfrom dbbench.drivers import DRIVERS as D\n"
    "D['{0}'] = dataclasses.replace(D['{0}'], requirement='absent-package', distributions=('absent-package',))"
)


def test_a_driver_that_is_measured_by_default_must_be_installed(patched: Patched, foreign: Address) -> None:
    done = patched(ABSENT.format("asyncpg"), "--url", url_of(foreign))
    lines = done.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if " asyncpg " in line)

    assert done.returncode == 4
    assert lines[place].split() == ["missing", "asyncpg", "not", "installed"]
    assert lines[place + 1].split() == ["pip", "install", "absent-package"]
    assert lines[-1].rstrip() == "dbbench run needs what is missing or a problem here."


def test_another_driver_need_not_be(patched: Patched, foreign: Address) -> None:
    done = patched(ABSENT.format("psycopg-sync"), "--url", url_of(foreign), "--format", "json")

    assert done.returncode == 0
    assert checks(done)["psycopg-sync"]["status"] == "note"


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("asyncpg", "asyncpg", "pip install 'asyncpg>="),
        ("psycopg_pool", "psycopg", "pip install 'psycopg[binary,pool]>="),
        ("greenlet", "greenlet", "pip install greenlet"),
        ("sqlalchemy", "server", "pip install 'sqlalchemy[asyncio]>="),
        ("psycopg", "server", "please report it"),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_problem_with_a_remedy(
    patched: Patched, foreign: Address, module: str, name: str, remedy: str
) -> None:
    done = patched(f"sys.modules['{module}'] = None", "--url", url_of(foreign), "--format", "json")
    check = checks(done)[name]

    assert done.returncode == 4
    assert check["status"] == "problem"
    assert remedy in check["remedy"]


def test_postgresql_that_cannot_start_says_why(patched: Patched) -> None:
    patch = "import dbbench.server.embedded as e\ne.candidate_bases = lambda: ['/proc/nowhere']"
    done = patched(patch, "--format", "json")
    check = checks(done)["server"]

    assert done.returncode == 4
    assert (check["status"], check["remedy"]) == ("problem", "--url measures a server of your own")
    assert "/proc/nowhere" in check["detail"]


@pytest.mark.parametrize(("options", "status", "code"), [((), "missing", 4), (("--url",), "note", 0)])
def test_the_embedded_postgresql_is_needed_by_those_without_a_server(
    patched: Patched, foreign: Address, options: tuple[str, ...], status: str, code: int
) -> None:
    patch = "import dbbench.server.embedded as e\ne.PACKAGE = 'pixeltable_absent'"
    done = patched(patch, *options, *(url_of(foreign) for _ in options), "--format", "json")

    assert done.returncode == code
    assert checks(done)["PostgreSQL"]["status"] == status


def test_a_results_folder_that_is_none_is_a_problem(dbbench: Cli, foreign: Address, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    done = dbbench("doctor", "--url", url_of(foreign), "--format", "json")

    assert done.returncode == 4
    assert checks(done)["results"]["detail"] == "results/ cannot be written: Not a directory"


def test_uvloop_is_worth_a_note_only(patched: Patched, foreign: Address) -> None:
    patch = "import dbbench.commands.doctor as d\nd.installed = lambda name: None if name == 'uvloop' else '1.0'"
    done = patched(patch, "--url", url_of(foreign), "--format", "json")

    assert done.returncode == 0
    assert checks(done)["uvloop"]["status"] == "note"
    assert checks(done)["uvloop"]["remedy"] == "pip install 'dbbench[uvloop]'"


def test_a_check_that_fails_keeps_what_came_before() -> None:
    def check() -> Iterator[Check]:
        yield Check("one", "ok", "fine")
        raise RuntimeError("two\nlines")

    first, second = doctor._safely("two", check)
    assert first == Check("one", "ok", "fine")
    assert (second.name, second.status) == ("two", "problem")
    assert second.detail == "cannot be checked: RuntimeError: two lines"


# --- what is in the way ----------------------------------------------------------------------------------------------


def test_another_run_is_seen() -> None:
    with watcher(quiet=True) as watch, exclusive(watch):
        (check,) = doctor._other_runs()
    assert check.status == "note"


@pytest.mark.parametrize(("load", "status"), [(0.1, "ok"), (0.6, "note")])
def test_where_the_platform_says_no_more_the_load_is_worth_a_note(
    monkeypatch: pytest.MonkeyPatch, load: float, status: str
) -> None:
    monkeypatch.setattr(busy, "_STAT", Path("/no/such/file"))
    monkeypatch.setattr(os, "getloadavg", lambda: (load * (os.cpu_count() or 1), 0.0, 0.0))
    (check,) = doctor._load()
    assert check.status == status


@pytest.mark.alone
def test_a_process_that_uses_a_cpu_is_worth_a_note() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (check,) = doctor._load()
        other.kill()

    assert check.status == "note"
    assert re.fullmatch(r"other processes use \d+\.\d of \d+ CPUs?", check.detail)


def test_what_a_placement_does_is_said() -> None:
    before = os.sched_getaffinity(0)
    cpu = max(before)
    (split,) = doctor._cpus(Placement("split", client_cpus=[cpu], server_cpus=[cpu + 1, cpu + 2]))
    (free,) = doctor._cpus(Placement("free", note="split needs two CPUs, and this process may use one"))
    (refused,) = doctor._cpus(Placement("split", client_cpus=[1000]))

    assert split == Check("CPUs", "ok", f"placement split: client on CPU {cpu}, server on 2 others")
    assert (free.status, free.detail.partition(" (")[0]) == ("note", "placement free")
    assert (refused.status, refused.remedy) == ("problem", "dbbench run --placement free")
    assert os.sched_getaffinity(0) == before


# --- the user's own server -------------------------------------------------------------------------------------------


def test_a_users_own_server_is_looked_at_and_not_touched(dbbench: Cli, foreign: Address) -> None:
    done = dbbench("doctor", "--env-url", "--format", "json", DATABASE_URL=url_of(foreign))
    found = checks(done)

    assert done.returncode == 0
    assert found["PostgreSQL"]["detail"].endswith("not used")
    assert f"owner@127.0.0.1:{foreign.port}/postgres: PostgreSQL" in found["server"]["detail"]
    assert found["server"]["detail"].endswith("tcp, loopback, no TLS")
    assert found["settings"]["detail"].startswith("shared_buffers 128 MB, synchronous_commit on, fsync off")
    assert [found[name]["status"] for name in ("rights", "connections", "production")] == ["ok"] * 3
    assert PASSWORD not in done.stdout
    with connect(foreign) as owner:
        assert owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbbench%'").fetchall() == []


def test_a_wrong_password_is_one_clear_line_without_it(dbbench: Cli, foreign: Address) -> None:
    url = f"postgresql://owner:wr0ng-canary@127.0.0.1:{foreign.port}/postgres"
    done = dbbench("doctor", "--url", url, "--format", "json")
    check = checks(done)["server"]

    assert done.returncode == 4
    assert check["status"] == "problem"
    assert f"cannot connect to owner@127.0.0.1:{foreign.port}/postgres" in check["detail"]
    assert "password authentication failed" in check["detail"]
    assert check["remedy"]
    assert "canary" not in done.stdout + done.stderr


def test_variables_of_libpq_change_nothing(dbbench: Cli, foreign: Address) -> None:
    done = dbbench("doctor", "--url", url_of(foreign), PGSERVICE="none", PGSSLMODE="require", PGOPTIONS="-c x=1")
    assert done.returncode == 0, done.stdout


def test_a_server_that_a_run_would_refuse_is_noted_with_the_option(
    dbbench: Cli, foreign: Address, sessions: Callable[[int], None]
) -> None:
    sessions(6)
    done = dbbench("doctor", "--url", url_of(foreign), "--format", "json")
    check = checks(done)["production"]

    assert done.returncode == 0
    assert (check["status"], check["remedy"]) == ("note", "measure a copy, or say --allow-production")
    assert check["detail"].endswith("is in use by 6 other sessions")


def test_rights_and_connections_that_a_run_would_miss_are_problems(dbbench: Cli, foreign: Address) -> None:
    with connect(foreign) as owner:
        owner.execute("CREATE ROLE guest LOGIN PASSWORD 'gu3st'")
        try:
            url = f"postgresql://guest:gu3st@127.0.0.1:{foreign.port}/postgres"
            poor = dbbench("doctor", "--url", url, "--format", "json")
        finally:
            owner.execute("DROP ROLE guest")
    assert poor.returncode == 4
    assert checks(poor)["rights"]["remedy"] == "GRANT CREATE ON DATABASE postgres TO guest"


def test_too_few_connections_are_a_problem(dbbench: Cli, foreign: Address, sessions: Callable[[int], None]) -> None:
    sessions(60)
    done = dbbench("doctor", "--url", url_of(foreign), "--format", "json")
    check = checks(done)["connections"]

    assert done.returncode == 4
    assert check["status"] == "problem"
    assert "--pool-size" in check["remedy"]


# --- a pooler in front ------------------------------------------------------------------------------------------------


def test_no_pooler_is_said_to_be_none(dbbench: Cli, foreign: Address) -> None:
    done = dbbench("doctor", "--url", url_of(foreign), "--format", "json")

    assert checks(done)["pooler"] == {
        "name": "pooler", "status": "ok", "detail": "none is in front of the server", "remedy": "",
    }  # fmt: skip
    assert detect(foreign) is None


@pytest.mark.parametrize(
    ("mode", "size", "evidence"),
    [
        ("transaction", 2, "two connections share server processes"),
        ("transaction", 1, "two connections share server processes"),
        ("session", 9, "each connection keeps its server process"),
        ("session", 1, "a second connection waits for the first to go"),
    ],
)
def test_a_pooler_gives_itself_and_its_mode_away(server: Address, mode: Mode, size: int, evidence: str) -> None:
    pgbouncer()
    with bare(server, mode, "one", size=size) as running:
        found = detect(running.address("one"))

    assert found is not None
    assert (found.mode, found.prepared) == (mode, mode == "session")
    assert found.evidence == f"cancel keys that are not the server's; {evidence}"


def test_a_pooler_that_takes_turns_is_recognised(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    pgbouncer()
    monkeypatch.setattr(module, "SETTINGS", {**module.SETTINGS, "server_round_robin": "1"})
    with bare(server, "transaction", "one") as running, ExitStack() as stack:
        for _ in range(2):  # two server connections, both free
            stack.enter_context(connect(running.address("one"))).execute("BEGIN")
        stack.close()
        found = detect(running.address("one"))

    assert found is not None
    assert found.mode == "transaction"


def test_looking_leaves_no_statement_behind_in_the_pool(server: Address) -> None:
    pgbouncer()
    with bare(server, "transaction", "one", size=1) as running:
        assert detect(running.address("one"))
        with connect(running.address("one")) as connection:
            assert connection.execute("SELECT name FROM pg_prepared_statements").fetchall() == []


def test_a_pooler_that_follows_prepared_statements_is_recognised(server: Address) -> None:
    new_pgbouncer()
    with module.pooler(server, module.PoolerSettings("transaction", 20, 2), {"one": "public"}) as running:
        found = detect(running.address("one"))

    assert found is not None
    assert (found.mode, found.prepared) == ("transaction", True)


def test_a_transaction_pooler_comes_with_a_line_for_each_driver(dbbench: Cli, foreign: Address) -> None:
    pgbouncer()
    with bare(foreign, "transaction", "one") as running:
        address = running.address("one")
        done = dbbench("doctor", "--url", url_of(address), "--format", "json")
    found = checks(done)

    assert done.returncode == 4
    assert found["server"]["status"] == "ok"
    assert found["pooler"]["status"] == "problem"
    assert found["pooler"]["detail"].startswith("transaction pooling: ")
    assert "--pooler transaction" in found["pooler"]["remedy"]
    for driver in ("asyncpg", "psycopg"):
        assert found[f"pooler: {driver}"]["status"] == "note"
        assert found[f"pooler: {driver}"]["remedy"] == cure(DRIVERS[driver])
    assert "0 does not switch them off" in found["pooler: psycopg prepare_threshold"]["detail"].replace("=", " ")
    assert found["pooler: psycopg2"]["status"] == "ok"
    assert not {"rights", "connections", "production"} & set(found)
    assert address.password not in done.stdout


def test_a_run_through_a_pooler_ends_with_one_clear_line(dbbench: Cli, foreign: Address) -> None:
    pgbouncer()
    with bare(foreign, "transaction", "one") as running:
        address = running.address("one")
        done = dbbench("run", "point_reads", "--url", url_of(address), "--blocks", "1", "--quiet")

    assert done.returncode == 4
    assert done.stderr == (
        f"dbbench: a connection pooler stands in front of {address}; --url takes the server itself; "
        "dbbench run measures through a pooler with --via (yours) or --pooler\n"
    )
    with connect(foreign) as owner:
        assert owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbbench%'").fetchall() == []


@pytest.mark.parametrize(
    ("host", "port", "mode", "prepared"),
    [
        ("db.example", 6543, "transaction", None),
        ("aws-0-eu-west-1.pooler.supabase.com", 6543, "transaction", None),
        ("aws-0-eu-west-1.pooler.supabase.com", 5432, "session", True),
        ("ep-x-123-pooler.eu-central-1.aws.neon.tech", 5432, "transaction", None),
        ("127.0.0.1", 6432, "unknown", None),
    ],
)
def test_well_known_poolers_are_recognised_by_name(host: str, port: int, mode: str, prepared: bool | None) -> None:
    found = guess(Address(host, port, "d", "u"))

    assert found is not None
    assert (found.mode, found.prepared) == (mode, prepared)


@pytest.mark.parametrize(
    ("host", "port"), [("db.example", 5432), ("/tmp/6543", 6543), ("pooler.supabase.com.example", 5432)]
)
def test_other_servers_are_not_taken_for_poolers(host: str, port: int) -> None:
    assert guess(Address(host, port, "d", "u")) is None


def test_a_pooler_out_of_reach_is_recognised_by_its_port() -> None:
    """Nothing listens on a reserved address; the failure comes with what the port means."""
    failed, hint, *drivers = doctor._server(Address("127.0.0.1", 6543, "d", "u"))

    assert (failed.name, failed.status) == ("server", "problem")
    assert hint.detail == "transaction pooling: 6543 is the port of Supabase's pooler, which pools by transaction"
    found = {check.name: check.remedy for check in drivers}
    assert found.pop("pooler: psycopg prepare_threshold") == "", "0 is not off"
    assert found == {f"pooler: {driver}": cure(DRIVERS[driver]) for driver in DEFAULT}


# Code of a user: an engine, tasks, and transactions. asyncpg's names of statements differ within a process, and so only
# meet when there are several processes at once, as behind uvicorn or gunicorn.
USER_CODE = """
import asyncio, sys
from collections import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
url = sys.argv[1]
engine = {line}
failures = Counter()

async def task():
    for number in range(60):
        try:
            async with engine.begin() as connection:
                for step in (1, 2, 3):
                    await connection.execute(text(f"SELECT {{step}} + :number"), {{"number": number}})
        except Exception as error:
            failures[getattr(getattr(error, "orig", error), "sqlstate", None) or repr(error)] += 1

async def main():
    await asyncio.gather(*(task() for _ in range(4)))
    await engine.dispose()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
print(*failures)
"""


def codes_of_user_code(address: Address, driver: str, line: str) -> set[str]:
    """Run three such programs at once; return the SQLSTATEs that they met."""
    url = f"postgresql+{driver}://{address.user}@/{address.database}?host={address.host}&port={address.port}"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", USER_CODE.format(line=line), url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    said = [program.communicate()[0] for program in programs]
    assert [program.returncode for program in programs] == [0] * 3
    return set(" ".join(said).split())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_line_for_a_driver_mends_what_fails_without_it(server: Address, driver: str) -> None:
    pgbouncer()
    with bare(server, "transaction", "without", "with_it") as running:
        without = codes_of_user_code(running.address("without"), driver, "create_async_engine(url)")
        cured = codes_of_user_code(running.address("with_it"), driver, cure(DRIVERS[driver]))

    assert without & {"26000", "42P05"}
    assert cured == set()


def test_half_of_the_line_for_asyncpg_is_not_enough(server: Address) -> None:
    pgbouncer()
    half = 'create_async_engine(url, connect_args={"prepared_statement_cache_size": 0})'
    with bare(server, "transaction", "one") as running:
        assert "42P05" in codes_of_user_code(running.address("one"), "asyncpg", half)


# --- what a user writes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "nonsense"), "dbbench: --url is not a PostgreSQL URL"),
        (("--url", "postgresql://u:s3cr3t@h:x/d"), "dbbench: --url is not a valid URL"),
        (("--url", "postgresql://u@h/d", "--env-url"), "dbbench: --url and --env-url exclude each other"),
    ],
)
def test_a_wrong_url_is_a_usage_error(dbbench: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = dbbench("doctor", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert "s3cr3t" not in done.stderr


def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with subprocess.Popen(
            PROGRAM, cwd=tmp_path, env={**os.environ, "TMPDIR": folder}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while not any(Path(folder).iterdir()):
                assert process.poll() is None
                time.sleep(0.01)
            process.terminate()
            _, stderr = process.communicate(timeout=120)
        assert list(Path(folder).iterdir()) == []
    assert process.returncode == 143
    assert b"Traceback" not in stderr
