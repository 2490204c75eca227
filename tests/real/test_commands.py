"""The commands as their users call them, in the tests' process: exit codes, stdout, stderr, files."""

import csv
import io
import json
import re
from pathlib import Path

import pyperf
import pytest
from conftest import PASSWORD, Cli, connect, in_process, url_of

from dbbench.address import Address
from dbbench.analysis.rows import COLUMNS
from dbbench.commands.identity import COLUMNS as IDENTITY
from dbbench.errors import ExitCode

QUICK = ("--budget", "0.5", "--rounds", "1", "--set", "rows=50", "--seed", "1")
RUN = ("run", "point_reads", "--driver", "psycopg2", *QUICK)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, server: Address) -> Path:
    """The folder of a finished run: two drivers, three layers."""
    folder = tmp_path_factory.mktemp("stored")
    done = in_process(
        ("run", "point_reads", "--driver", "psycopg", "--driver", "asyncpg", "--layer", "raw",
         "--layer", "core", "--layer", "orm", "--format", "csv", "--blocks", "7", "--rounds", "3", "--set", "rows=50",
         "--sessions", "5", "--url", url_of(server), "--allow-production"),
        folder, {},  # with several sessions a block has fewer rounds; the intervals of three rows need seven
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


# --- stored runs -----------------------------------------------------------------------------------------------------


def result_of(folder: Path) -> Path:
    (path,) = (folder / "results").glob("*.jsonl")
    return path


def changed(path: Path, to: Path, **header: object) -> Path:
    """A copy of a result file, measured under other conditions."""
    first, *rest = path.read_text().splitlines(keepends=True)
    top = json.loads(first)
    for key, value in header.items():
        top["environment"]["machine"][key] = value
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text("".join([json.dumps(top) + "\n", *rest]))
    return to


def test_a_run_has_not_changed_against_itself(stored: Path, dbbench: Cli) -> None:
    path = str(result_of(stored))
    done = dbbench("compare", path, path, "--format", "json")
    document = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert {row["driver"] for row in document["changes"]} == {"asyncpg"}
    assert all(row["change"] == 0 for row in document["changes"])
    for format_ in ("table", "csv", "markdown"):
        assert dbbench("compare", path, path, "--format", format_).stdout
    assert dbbench("compare", path, path, "--fail-over", "10%").returncode == 0


def test_runs_of_different_machines_are_not_compared_unless_forced(stored: Path, dbbench: Cli, tmp_path: Path) -> None:
    path = str(result_of(stored))
    other = str(changed(result_of(stored), tmp_path / "other.jsonl", cpu_model_name="another CPU"))
    done = dbbench("compare", path, other)
    forced = dbbench("compare", path, other, "--force")

    assert done.returncode == 6, done.stderr
    assert "another CPU" in done.stdout + done.stderr
    assert forced.returncode == 0, forced.stderr
    assert "another CPU" in forced.stdout + forced.stderr
    assert dbbench("compare", path, path, "--control", "psycopg2").returncode == 2


def test_history_lists_every_file_and_stops_at_none(stored: Path, dbbench: Cli, tmp_path: Path) -> None:
    changed(result_of(stored), tmp_path / "runs" / "one.jsonl")
    changed(result_of(stored), tmp_path / "runs" / "two.jsonl", cpu_model_name="another CPU")
    (tmp_path / "runs" / "broken.jsonl").write_text("nothing\n")
    done = dbbench("history", "runs")

    assert done.returncode == 0, done.stderr
    assert "broken.jsonl" in done.stdout
    assert "is not a dbbench result file" in " ".join(done.stdout.split())
    assert json.loads(dbbench("history", "runs", "--format", "json").stdout)
    assert dbbench("history", "runs", "--format", "csv").stdout.count("\n") > 1
    empty = dbbench("history")
    assert (empty.returncode, empty.stderr) == (2, "dbbench: no result in results; make one with: dbbench run\n")


# --- data out --------------------------------------------------------------------------------------------------------


def test_csv_on_stdout_is_pure_and_has_exactly_the_columns(stored: Path) -> None:
    rows = list(csv.reader(io.StringIO((stored / "stdout").read_text())))

    assert ",".join(rows[0]) == (
        "scenario,layer,sessions,params,driver,placement,blocks,operations,errors,ops_per_second,mean_us,p50_us,p90_us,"
        "p95_us,p99_us,p999_us,max_us,cpu_us_per_op,ratio,ratio_low,ratio_high,verdict,"
        "run,started,dbbench,driver_version,server_version"
    )
    assert [(row[1], row[4]) for row in rows[1:]] == [
        (layer, driver) for layer in ("raw", "core", "orm") for driver in ("psycopg", "asyncpg")
    ]
    for row in rows[1:]:
        assert int(row[COLUMNS.index("operations")]) > 0
        assert int(row[COLUMNS.index("errors")]) == 0
        assert float(row[COLUMNS.index("ratio_low")] or 0) <= float(row[COLUMNS.index("ratio")])
    assert "block 1" in (stored / "stderr").read_text()


def test_json_is_one_document_with_the_same_cells(stored: Path, dbbench: Cli) -> None:
    done = dbbench("show", str(result_of(stored)), "--format", "json")
    document = json.loads(done.stdout)

    assert document["schema"] == 1
    assert [list(cell) for cell in document["cells"]] == [[*COLUMNS, *IDENTITY]] * 6
    assert document["run"]["server"]["settings"]["fsync"] == "off"


def test_the_table_fits_80_columns_and_has_no_colours_without_a_terminal(stored: Path, dbbench: Cli) -> None:
    done = dbbench("show", str(result_of(stored)))

    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert re.search(r"asyncpg +[\d,]+ ", done.stdout)
    assert re.search(
        r"asyncpg (needs (\d+(\.\d)?% (less|more)|\d+\.\d+ times as much) time|ties|is undecided)", done.stdout
    )


def test_show_takes_the_newest_result_by_itself(stored: Path, dbbench: Cli) -> None:
    done = dbbench("show", cwd=stored)
    assert f"results/{result_of(stored).name}" in done.stdout


@pytest.mark.parametrize("format_", ["csv", "json", "markdown", "pyperf"])
def test_every_export_goes_to_stdout_or_to_a_file(stored: Path, dbbench: Cli, tmp_path: Path, format_: str) -> None:
    printed = dbbench("export", str(result_of(stored)), "--format", format_)
    written = dbbench("export", str(result_of(stored)), "--format", format_, "-o", str(tmp_path / "new" / "x.json"))

    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert (tmp_path / "new" / "x.json").read_text() == printed.stdout


def test_pyperf_suites_are_of_one_driver_or_of_all(stored: Path, dbbench: Cli, tmp_path: Path) -> None:
    def benchmarks(name: str) -> list[str]:
        return [str(name) for name in pyperf.BenchmarkSuite.load(str(tmp_path / name)).get_benchmark_names()]

    assert dbbench("export", str(result_of(stored)), "--format", "pyperf", "-o", "suites").returncode == 0
    assert dbbench("export", str(result_of(stored)), "--format", "pyperf", "-o", "all.json").returncode == 0
    one = dbbench("export", str(result_of(stored)), "--format", "pyperf", "--driver", "asyncpg", "-o", "one.json")
    assert one.returncode == 0
    assert (tmp_path / "one.json").read_text() == (tmp_path / "suites" / "asyncpg.json").read_text()
    assert [name.partition(",")[0] for name in benchmarks("suites/psycopg.json")] == [
        "point_reads[raw", "point_reads[core", "point_reads[orm"
    ]  # fmt: skip
    assert benchmarks("suites/psycopg.json") == benchmarks("suites/asyncpg.json")
    assert {name.rpartition("/")[2] for name in benchmarks("all.json")} == {"psycopg", "asyncpg"}


def test_lists_say_what_there_is(dbbench: Cli) -> None:
    drivers = json.loads(dbbench("list", "drivers", "--format", "json").stdout)
    scenarios = json.loads(dbbench("list", "scenarios", "--format", "json").stdout)

    assert [row["driver"] for row in drivers] == ["psycopg", "asyncpg", "psycopg2", "psycopg-sync", "pg8000", "psqlpy"]
    assert [row["scenario"] for row in scenarios] == [
        "bulk_inserts",
        "concurrent_sessions",
        "in_lists",
        "n_plus_one",
        "point_reads",
        "upsert",
        "web_requests",
    ]
    assert "point_reads" in dbbench("list", "scenarios").stdout
    assert "asyncpg" in dbbench("list", "drivers").stdout


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "--driver", "asyncgp"), 2, "no driver 'asyncgp'; did you mean asyncpg?"),
        (("run", "--baseline", "x"), 2, "no driver 'x'; there is psycopg"),
        (("run", "point_red"), 2, "no scenario 'point_red'; did you mean point_reads?"),
        (("run", "nowhere/x.py"), 2, "nowhere/x.py: no such scenario file"),
        (("run", "--layer", "rwa"), 2, "--layer rwa: did you mean raw?"),
        (("run", "--sessions", "1,x"), 2, "--sessions 1,x: whole numbers from 1"),
        (("run", "--sessions", "0"), 2, "--sessions 0: whole numbers from 1"),
        (("run", "--sessions", "16", "--checkout", "session"), 2, "--sessions can be at most 15"),
        (("run", "--budget", "soon"), 2, "--budget soon: seconds"),
        (("run", "--budget", "0"), 2, "--budget 0: seconds"),
        (("run", "--set", "rows"), 2, "--set rows: write it as NAME=VALUE"),
        (("run", "point_reads", "--set", "rows=x"), 2, "--set rows=x: rows takes a value like 10000 (int)"),
        (("run", "point_reads", "--set", "rwos=1"), 2, "did you mean rows?"),
        (("run", "--url", "nonsense"), 2, "--url is not a PostgreSQL URL"),
        (("run", "--url", "postgresql://u:s3cr3t@h:x/d"), 2, "--url is not a valid URL"),
        (("run", "--url", "postgresql://u@h/d", "--env-url"), 2, "exclude each other"),
        (("run", "--url", "postgresql://u:s3cr3t@127.0.0.1:1/d"), 4, "cannot connect to u@127.0.0.1:1/d"),
        (("run", "-o", "/proc/nowhere/x.jsonl"), 2, "/proc/nowhere/x.jsonl cannot be written"),
        (("show",), 2, "no result in results/; make one with: dbbench run"),
        (("show", "nowhere.jsonl"), 2, "nowhere.jsonl"),
        (("export", "/dev/null"), 2, "/dev/null"),
    ],
)
def test_an_error_is_one_line_with_the_way_out(
    dbbench: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = dbbench(*arguments, "--quiet") if arguments[0] == "run" else dbbench(*arguments)

    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dbbench: ")
    assert "s3cr3t" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("**/*.jsonl"))


def test_a_problem_is_said_even_when_quiet(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("X = 1\n")
    done = measure("run", "none.py", "point_reads", "--driver", "psycopg2", *QUICK, "--quiet", "--format", "csv")

    assert done.returncode == ExitCode.DEGRADED
    assert done.stderr.startswith("none.py:1: no operation")
    assert done.stderr.count("\n") == 1


def test_a_run_is_found_by_its_id(stored: Path, dbbench: Cli) -> None:
    run_id = result_of(stored).stem.rpartition("-")[2]
    assert dbbench("show", run_id, cwd=stored).returncode == 0
    assert dbbench("export", run_id, cwd=stored).stdout == (stored / "stdout").read_text()


def test_an_unknown_option_is_a_usage_error(dbbench: Cli) -> None:
    done = dbbench("run", "--drvier", "x")
    assert done.returncode == 2
    assert "--driver" in done.stderr


def test_env_url_without_the_variable_is_a_usage_error(dbbench: Cli) -> None:
    done = dbbench("run", "--env-url", DATABASE_URL="")
    assert (done.returncode, done.stderr) == (2, "dbbench: --env-url: DATABASE_URL is not set\n")


def test_a_file_that_is_no_result_is_refused(dbbench: Cli, tmp_path: Path) -> None:
    for name, content in {"text": "hello\n", "json": '{"type": "x"}\n', "empty": "", "binary": "\0\1\2"}.items():
        (tmp_path / name).write_text(content)
        done = dbbench("show", name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert name in done.stderr


def test_a_result_that_exists_is_not_overwritten(dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("mine\n")
    done = dbbench(*RUN, "-o", "x.jsonl")

    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "x.jsonl").read_text() == "mine\n"


def test_an_unwritable_output_is_seen_before_a_server_is_started(dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = dbbench(*RUN, "-o", "file/x.jsonl")

    assert done.returncode == 2
    assert "starting PostgreSQL" not in done.stderr


# --- settings --------------------------------------------------------------------------------------------------------


def test_options_may_come_from_pyproject(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dbbench]\ndriver = ["psycopg2"]\nblocks = 1\nformat = "csv"\nquiet = true\nseed = 3\n'
        'layer = ["raw"]\nset = {rows = 50}\noutput = "mine.jsonl"\n'
    )
    (tmp_path / "below").mkdir()
    done = measure("run", "point_reads", "--seed", "4", cwd=tmp_path / "below")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [row["driver"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["psycopg", "psycopg2"]
    assert '"seed":4' in (tmp_path / "below" / "mine.jsonl").read_text()


def test_when_to_stop_is_decided_on_the_command_line_first(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench]\nblocks = 500\ndriver = ['psycopg2']\nset = {rows = 50}\n")
    done = measure("run", "point_reads", "--layer", "raw", "--precision", "1%", "--budget", "2", "--format", "json")
    plan = json.loads(done.stdout)["run"]["plan"]

    assert done.returncode == 0, done.stderr
    assert (plan["blocks"], plan["precision"], plan["budget_s"]) == (None, 0.01, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.dbbench]\ndrivers = ['asyncpg']\n", "[tool.dbbench] has no option 'drivers'; did you mean driver? "),
        ("[tool.dbbench\n", "pyproject.toml cannot be read"),
    ],
)
def test_a_wrong_pyproject_is_a_usage_error(dbbench: Cli, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    done = dbbench("run")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_driver_is_compared_with_the_baseline_by_itself(measure: Cli) -> None:
    done = measure("run", "point_reads", "--driver", "asyncpg", *QUICK)

    assert done.returncode == 0, done.stderr
    assert "psycopg is measured too, as the baseline" in done.stderr
    assert re.search(r"^ *psycopg .* baseline$", done.stdout, re.MULTILINE)
    assert re.search(r"^ *asyncpg ", done.stdout, re.MULTILINE)


def test_a_driver_may_be_its_own_baseline(measure: Cli) -> None:
    done = measure("run", "point_reads", "--driver", "asyncpg", "--baseline", "asyncpg", *QUICK, "--format", "csv")
    assert [row["driver"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["asyncpg"]


@pytest.mark.parametrize("options", [
    ("--loop", "uvloop", "--driver", "asyncpg", "--placement", "shared"),
    ("--tx-end", "autocommit", "--checkout", "session", "--sessions", "2", "--placement", "free"),
    ("--pool-size", "1", "--max-overflow", "0", "--pool-timeout", "5", "--sessions", "3"),
    ("--driver", "psycopg-sync,psycopg2", "--layer", "raw,core", "--format", "markdown", "--quiet"),
    ("--pool-pre-ping", "--driver-set", "psycopg.prepare_threshold=none", "--layer", "core"),
])  # fmt: skip
def test_every_option_works(dbbench: Cli, measure: Cli, options: tuple[str, ...]) -> None:
    if "uvloop" in options:
        pytest.importorskip("uvloop")
    call = dbbench if "--placement" in options else measure  # a placement is for both ends, so both are ours
    done = call("run", "point_reads", "--driver", "psycopg2", *QUICK, *options)

    assert done.returncode == 0, done.stderr
    assert "psycopg2" in done.stdout
    if "--quiet" in options:
        assert done.stderr == ""


def test_a_users_own_server_is_measured_and_left_clean(dbbench: Cli, foreign: Address, tmp_path: Path) -> None:
    done = dbbench(
        "run", "point_reads", "--driver", "psycopg", "--driver", "asyncpg", "--layer", "raw", "--layer", "core",
        "--layer", "orm", "--format", "csv", "--url", url_of(foreign, "postgresql+asyncpg"), *QUICK,
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(done.stdout)))

    assert done.returncode == 0, done.stderr
    assert len(rows) == 6
    assert all(int(row["operations"]) > 0 and row["errors"] == "0" for row in rows)
    with connect(foreign) as owner:
        assert owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbbench%'").fetchall() == []
    everything = done.stdout + done.stderr + "".join(path.read_text() for path in tmp_path.glob("results/*"))
    assert PASSWORD not in everything


def test_libpqs_variables_change_nothing(measure: Cli) -> None:
    done = measure(*RUN, PGOPTIONS="-c nonsense=1", PGHOST="nowhere.invalid", PGSERVICE="none", PGSSLMODE="require")
    assert done.returncode == 0, done.stderr


def test_database_url_is_used_only_when_asked_for(dbbench: Cli, foreign: Address) -> None:
    unasked = dbbench(*RUN, DATABASE_URL=url_of(foreign))
    asked = dbbench(*RUN, "--env-url", DATABASE_URL=url_of(foreign))

    assert (unasked.returncode, asked.returncode) == (0, 0)
    assert "DATABASE_URL is set but not used; --env-url uses it" in unasked.stderr
    assert "embedded" in unasked.stdout
    assert "embedded" not in asked.stdout
