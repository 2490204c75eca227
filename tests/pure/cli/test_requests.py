"""From the words of a command line to what it asks for; nothing is measured."""

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import REPOSITORY
from documents import documented_commands
from typer.testing import CliRunner

from dbbench import choices
from dbbench.catalog import builtin
from dbbench.cli.app import COMMANDS, app, parsed
from dbbench.cli.groups import words
from dbbench.drivers import DEFAULT
from dbbench.errors import UsageError
from dbbench.plan import Connections, Effort, Load, Pool
from dbbench.reports import FORMATS, formats

MEASURING = {
    "run": ["run"],
    "wire": ["wire"],
    "capacity": ["capacity", "--slo", "p99<10ms"],
    "gate": ["gate", "--base", "asyncpg==0.30.0", "--head", "asyncpg==0.31.0"],
}


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the scenarios and arms that the documents speak of."""
    monkeypatch.chdir(tmp_path)
    for name in ("my_scenario.py", "orders.py"):
        (tmp_path / name).write_text("async def orm(session, params, rng): return 1\n")
    for name in ("docs", "tests"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dbbench.arms]\nproduction = {driver = "psycopg"}\ncandidate = {driver = "psycopg"}\n'
    )


def options_of(name: str, *more: str) -> Any:
    request: Any = parsed([*MEASURING[name], *more])
    return request.gate.options if name == "gate" else request.options


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@localhost/scratch")
    request = parsed(shlex.split(re.split(" >>? ", command)[0])[1:])

    assert callable(request.execute)


def test_a_self_check_gets_its_time() -> None:
    default: Any = parsed(["selfcheck"])
    request: Any = parsed(["selfcheck", "--seconds", "2m", "--seed", "3", "-o", "checked.jsonl"])

    assert (default.stage_s, default.seed, default.output) == (30.0, None, None)
    assert (request.stage_s, request.seed, request.output) == (120.0, 3, Path("checked.jsonl"))


@pytest.mark.parametrize("name", MEASURING)
def test_every_measuring_command_keeps_its_result_where_it_is_told(name: str) -> None:
    assert options_of(name, "--output", "x.jsonl").output == Path("x.jsonl")
    assert options_of(name).output is None


@pytest.mark.parametrize("name", MEASURING)
def test_defaults_are_those_of_the_structs(name: str) -> None:
    options = options_of(name)

    assert options.connections == Connections()
    assert options.address is None
    assert options.params == {}
    if name == "run":
        assert (options.load, options.effort, options.drivers) == (Load(), Effort(), list(DEFAULT))


@pytest.mark.parametrize("name", MEASURING)
def test_every_measuring_command_has_the_same_options_of_connections_and_server(name: str) -> None:
    options = options_of(
        name, "--tx-end", "autocommit", "--checkout", "session", "--pool-size", "3", "--max-overflow", "1",
        "--pool-timeout", "2.5", "--pool-pre-ping", "--driver-set", "asyncpg.statement_cache_size=0",
        "--url", "postgresql://me@localhost/scratch", "--allow-production", "--driver", "asyncpg", "--set", "rows=7",
    )  # fmt: skip

    assert options.connections == Connections(
        pool=Pool(3, 1, 2.5),
        tx_end="autocommit",
        checkout="session",
        pre_ping=True,
        settings={"asyncpg": {"statement_cache_size": 0}},
    )
    assert options.address.database == "scratch"
    assert options.allow_production
    assert options.params == {"rows": "7"}


@pytest.mark.parametrize("name", MEASURING)
def test_no_pool_leaves_out_what_pyproject_says_of_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench]\npool-pre-ping = true\npool-size = 3\n")
    connections = options_of(name, "--null-pool").connections

    assert (connections.null_pool, connections.pre_ping) == (True, False)
    assert connections.at_once(40) == 40
    assert options_of(name).connections.at_once(40) == 13


def test_a_run_may_be_paced_and_limited() -> None:
    load = options_of("run", "--sessions", "1,15", "--rate", "200", "--arrival", "constant").load
    effort = options_of("run", "--budget", "2m", "--precision", "2%", "--rounds", "3", "--seed", "7").effort

    assert load == Load(sessions=[1, 15], rate=200.0, arrival="constant")
    assert effort == Effort(budget_s=120.0, precision=0.02, rounds=3, seed=7)
    assert options_of("run", "--think", "20ms").load.think_s == 0.02
    assert options_of("run", "--blocks", "3").effort == Effort(blocks=3)


def test_capacity_has_as_many_sessions_as_the_pool_has_connections() -> None:
    assert options_of("capacity", "--pool-size", "3", "--max-overflow", "1").load.sessions == [4]
    assert options_of("capacity", "--sessions", "2", "--arrival", "constant").load == Load([2], arrival="constant")


def test_a_gate_may_count_and_has_its_own_defaults() -> None:
    options = options_of("gate")
    request: Any = parsed([*MEASURING["gate"], "--wire", "--report", "annotations=x"])

    assert (options.effort.budget_s, options.placement, options.drivers) == (300.0, "shared", [])
    assert (request.wire, request.reports) == (True, [("annotations", Path("x"))])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run --pooler session --rtt 1ms", "--pooler and --rtt exclude each other"),
        ("run --via postgresql://a@b/c", "--via needs --url"),
        ("run --via nonsense", "--via is not a PostgreSQL URL"),
        ("run --url postgresql://a@b/c --via postgresql://a@b:6432/c --pooler session", "--via and --pooler exclude"),
        ("run --url postgresql://a@b/c --via postgresql://a@b:6432/c --rtt 1ms", "--via and --rtt exclude each other"),
        ("run --url postgresql://a@b/c --via postgresql://a@b/c --null-pool", "--null-pool and --via exclude each"),
        (
            "run --url postgresql://a@b/c --via postgresql://a@b/c --vary loop=uvloop",
            "--via and --vary, --processes or --arm",
        ),
        ("run --rate 5 --rtt 1ms", "--rate and --rtt exclude each other"),
        ("run --rate 5 --think 1ms", "--rate and --think exclude each other"),
        ("run --blocks 5 --precision 2%", "--blocks and --precision exclude each other"),
        ("run --checkout session --sessions 16", "--sessions can be at most 15"),
        ("capacity --slo p99<10ms --checkout session --sessions 16", "--sessions can be at most 15"),
        ("run --driver-set psycopg-sync.prepare_threshold=1", "psycopg-sync is not measured; --driver psycopg-sync"),
        ("wire -d psycopg --driver-set asyncpg.statement_cache_size=0", "asyncpg is not measured"),
        ("run --url postgresql://a@b/c --env-url", "--url and --env-url exclude each other"),
        ("run --budget 5h", "--budget 5h: seconds, like 90, 90s or 2m"),
        ("run --think 20", "--think 20: a time with its unit, like 20ms, 500us or 1.5s"),
        ("run --rtt 0,1", "--rtt 1: a time with its unit"),
        ("run --rtt 0,2s", "--rtt 0,2s: at most 1 s"),
        ("run --precision 2", "--precision 2: a share, like 2% or 0.02"),
        ("run --sessions 1,x", "--sessions 1,x: whole numbers from 1, like 1,15,50"),
        ("run --driver psycop", "no driver 'psycop'; did you mean psycopg?"),
        ("run --baseline psycop", "no driver 'psycop'; did you mean psycopg?"),
        ("run --layer orms", "--layer orms: did you mean orm?"),
        ("run --set rows", "--set rows: write it as NAME=VALUE"),
        ("run --set rows=1 --set rows=2", "--set: rows is given twice"),
        (
            "run --driver-set psycopg.prepare_threshold=1 --driver-set psycopg.prepare_threshold=none",
            "--driver-set: psycopg.prepare_threshold is given twice",
        ),
        (
            "run --driver-set asyncpg.statement_cache_size=0,100",
            "statement_cache_size is a number; --vary asyncpg.statement_cache_size=0,100 compares several",
        ),
        (
            "run --vary pool-pre-ping=off,on --pool-pre-ping",
            "--vary pool-pre-ping and --pool-pre-ping exclude each other",
        ),
        ("wire --vary pool=5+10,null --null-pool", "--vary pool and --null-pool exclude each other"),
        (
            "capacity --slo p99<10ms --vary tx-end=commit --tx-end commit",
            "--vary tx-end and --tx-end exclude each other",
        ),
        ("run point_reads --all", "--all and names of scenarios exclude each other"),
        ("run --processes 0", "--processes 0: whole numbers from 1"),
        ("run --processes 2 --vary processes=1,2", "--vary processes and --processes exclude each other"),
        ("run --vary python=python3,python3.13t", "dbbench gate --base-python A --head-python B compares them"),
        ("run --vary pool=5+10,null --pooler session", "--pooler and --vary, --processes or --arm exclude each other"),
        ("run --vary pool=5+10,null --checkout session", "psycopg+pool=null: --null-pool and --checkout session"),
        ("run --vary checkout=request,session --sessions 16", "psycopg+checkout=session: --checkout session holds"),
        ("run --vary pool-pre-ping=off,on --arm mine", "--arm and --vary exclude each other"),
        ("run --arm mine --driver asyncpg", "--arm and --driver exclude each other"),
        (
            "run --arm mine",
            "--arm mine: pyproject.toml has no [tool.dbbench.arms.mine]; there is production, candidate",
        ),
        ("run --compare all", "--compare goes with --vary"),
        ("gate --base pool-pre-ping=off --head asyncpg==0.31.0", "settings are judged against settings"),
        ("gate --base pool-pre-ping=off", "settings are judged against settings"),
        (
            "gate --base pool-pre-ping=off --head pool-pre-ping=maybe",
            "--head pool-pre-ping=maybe: pool-pre-ping is off",
        ),
        ("gate --base tx-end=commit --head tx-end=rollback --project .", "settings are judged alone"),
        (
            "gate --base loop=asyncio --head loop=uvloop --driver psycopg2",
            "no setting of psycopg2; --driver names another",
        ),
        ("gate --base-arm mine", "--base-arm and --head-arm go together"),
        (
            "gate --base-arm mine --head-arm yours --driver asyncpg",
            "--base-arm and --head-arm exclude --base, --head and",
        ),
        ("run my_scenario.py --between scenarios", "--between scenarios compares two scenarios or more"),
        ("run my_scenario.py orders.py --between scenarios --arm mine", "--arm and --between exclude each other"),
        ("pool", "a load is needed; --rate 400, or --sessions 60 --think 20ms"),
        ("pool --rate 5 --layer raw,core", "--layer raw,core: pool takes one of them"),
        ("pool --rate 5 --sessions 1,2", "--sessions 1,2: pool takes one of them"),
        ("pool --rate 5 --think 5ms", "--rate and --think exclude each other"),
        ("pool --rate 5 --wait 5", "--wait 5: a time with its unit"),
        ("run --preset sync --driver asyncpg", "--driver and --preset exclude each other"),
        (
            "run --vary pool-pre-ping=off,on --baseline psycopg+pool=5+10",
            "--baseline psycopg+pool=5+10: no arm of this",
        ),
        ("gate --base a==1 --head a==2 --tolerance 5% --tolerance time=6%", "--tolerance: time is given twice"),
        ("run --null-pool --pool-size 5", "--null-pool and --pool-size exclude each other"),
        ("capacity --slo p99<10ms --null-pool --pool-pre-ping", "--null-pool and --pool-pre-ping exclude each other"),
        ("wire --null-pool --checkout session", "--null-pool and --checkout session exclude each other"),
        ("run --null-pool --pooler session", "--null-pool and --pooler exclude each other"),
        ("run --project nowhere", "--project nowhere: there is no such folder"),
        ("run point_read", "no scenario 'point_read'; did you mean point_reads?"),
        ("wire --trace --format csv", "--trace goes with --format table, not with csv"),
        ("capacity --slo p99<10ms --layer raw,core", "--layer raw,core: capacity takes one of them"),
        ("capacity --slo p99<10ms --sessions 1,2", "--sessions 1,2: capacity takes one of them"),
        ("capacity --slo p98<10ms", "--slo p98<10ms: write it like p99<10ms"),
        ("capacity --slo p99<10", "--slo p99<10: write it like p99<10ms"),
        ("gate --base a==1 --head a==2 --wire --format junit", "--format junit: --wire has table, csv, json"),
        ("gate --base a==1 --head a==2 --wire --report junit=x", "--report junit=x: there is table, csv, json"),
        ("gate --base a==1 --head a==2 --tolerance cpus=3%", "no scenario 'cpus'"),
        ("compare a b --fail-over 10", "--fail-over 10: a share, like 2% or 0.02"),
        ("export x --format json --driver asyncpg", "--driver goes with --format pyperf or hgrm"),
        ("export x --format json --table errors", "--table goes with --format csv"),
    ],
)
def test_what_does_not_go_together_is_refused(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parsed(shlex.split(line))


@pytest.mark.parametrize(
    "options",
    [
        ["--tolerance", "3%"], ["--inconclusive", "pass"], ["--sessions", "2"], ["--budget", "3m"],
        ["--rounds", "2"], ["--placement", "free"],
    ],
)  # fmt: skip
def test_an_exact_gate_refuses_what_it_would_ignore(options: list[str]) -> None:
    with pytest.raises(UsageError, match=f"^{options[0]} means nothing with --wire"):
        parsed([*MEASURING["gate"], "--wire", *options])
    request: Any = parsed([*MEASURING["gate"], *options])
    assert not request.wire


def test_an_exact_gate_takes_no_notice_of_such_options_in_pyproject(tmp_path: Path) -> None:
    """They are there for the other gate."""
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench.gate]\nbudget = 30\ntolerance = ['3%']\n")
    request: Any = parsed([*MEASURING["gate"], "--wire"])

    assert request.wire


def test_one_that_says_when_to_stop_goes_before_another_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench]\nblocks = 500\n")

    assert options_of("run").effort == Effort(blocks=500)
    assert options_of("run", "--precision", "1%", "--budget", "2").effort == Effort(precision=0.01, budget_s=2.0)


@pytest.mark.parametrize("option", ["--tx-end", "--checkout", "--loop", "--arrival", "--placement", "--pooler"])
def test_a_wrong_word_is_refused_with_those_that_there_are(option: str) -> None:
    kinds: dict[str, Any] = {
        "--tx-end": choices.TxEnd, "--checkout": choices.Checkout, "--loop": choices.Loop,
        "--arrival": choices.Arrival, "--placement": choices.PlacementMode, "--pooler": choices.PoolerMode,
    }  # fmt: skip
    done = CliRunner().invoke(app, ["run", option, "nonsense"], env={"COLUMNS": "200"})

    assert done.exit_code == 2
    for part in (option, "nonsense", *get_args(kinds[option])):
        assert part in done.output


def test_formats_are_those_of_the_table() -> None:
    for command in COMMANDS:
        if expected := formats(command.name):
            assert words(command.request, "format_") == expected, command.name
    assert {command for command, _ in FORMATS} <= {*(command.name for command in COMMANDS), "gate --wire"}


def test_paragraphs_of_help_are_lines() -> None:
    """Typer would break lines where the source does."""
    for command in COMMANDS:
        paragraphs = command.help.split("\n\n")

        assert all("\n" not in paragraph for paragraph in paragraphs), command.name
        assert all(paragraph.endswith(".") for paragraph in paragraphs), command.name
    assert len(next(each for each in COMMANDS if each.name == "capacity").help.split("\n\n")) == 2


def test_help_of_compare_says_when_it_ends_with_1() -> None:
    (help_,) = (command.help for command in COMMANDS if command.name == "compare")

    assert "--fail-over makes it end with 1" in help_


def test_presets_are_several_drivers() -> None:
    run = options_of("run", "--preset", "sync")

    assert (run.drivers, run.baseline) == (["psycopg-sync", "psycopg2"], "psycopg-sync")
    assert options_of("run", "--preset", "async").drivers == ["psycopg", "asyncpg"]
    assert options_of("wire", "--preset", "all").drivers == [*DEFAULT, "psycopg-sync"]
    assert options_of("run", "--preset", "sync", "--baseline", "psycopg2").drivers == ["psycopg2", "psycopg-sync"]


@pytest.mark.parametrize("name", ["run", "wire", "capacity"])
def test_what_varies_makes_arms(name: str) -> None:
    options = options_of(name, "--driver", "psycopg2,asyncpg", "--vary", "pool-pre-ping=off,on")

    assert [arm.name for arm in options.arms] == [
        "psycopg2+pool-pre-ping=off", "psycopg2+pool-pre-ping=on",
        "asyncpg+pool-pre-ping=off", "asyncpg+pool-pre-ping=on",
    ]  # fmt: skip
    assert (options.drivers, options.baseline) == (["psycopg2", "asyncpg"], "psycopg2+pool-pre-ping=off")


def test_one_number_of_processes_compares_drivers_as_ever() -> None:
    options = options_of("run", "--processes", "4", "--driver", "asyncpg")

    assert [(arm.name, arm.connections.processes, arm.baseline) for arm in options.arms] == [
        ("psycopg", 4, ""),
        ("asyncpg", 4, ""),
    ]
    assert (options.baseline, len(options.scenarios)) == ("psycopg", 3)


def test_settings_may_be_compared_with_one_baseline() -> None:
    options = options_of("run", "--vary", "tx-end=rollback,commit", "--compare", "all", "--baseline", "asyncpg")

    assert {arm.baseline for arm in options.arms} == {""}
    assert options.baseline == "asyncpg+tx-end=rollback"


def test_scenarios_may_be_compared() -> None:
    options = options_of("run", "my_scenario.py", "orders.py", "--between", "scenarios", "--driver", "asyncpg")

    assert [(arm.name, Path(arm.path).name, arm.baseline) for arm in options.arms] == [
        ("asyncpg+scenario=my_scenario", "my_scenario.py", "asyncpg+scenario=my_scenario"),
        ("asyncpg+scenario=orders", "orders.py", "asyncpg+scenario=my_scenario"),
    ]


def test_a_search_for_a_pool_begins_with_the_largest() -> None:
    request: Any = parsed(["pool", "--rate", "400", "--processes", "4", "--most", "12", "--wait", "2ms"])

    assert (request.wanted.limit_us, request.wanted.most, request.wanted.trial_s) == (2_000.0, 12, 5.0)
    assert (request.options.connections.pool, request.options.connections.processes) == (Pool(12, 0), 4)
    assert (request.options.load.sessions, request.options.load.rate) == ([96], 400.0)


def test_arms_have_names_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.dbbench]\nseed = 3\n"
        '[tool.dbbench.arms.production]\ndriver = "psycopg2"\npool-pre-ping = true\n'
        '[tool.dbbench.arms.candidate]\ndriver = "psycopg"\npool = "15+0"\npsycopg.prepare_threshold = "none"\n'
    )
    options = options_of("run", "--arm", "production", "--arm", "candidate")
    gate: Any = parsed(["gate", "--base-arm", "candidate", "--head-arm", "candidate"])

    assert [(arm.name, arm.driver) for arm in options.arms] == [("production", "psycopg2"), ("candidate", "psycopg")]
    assert (options.baseline, options.drivers, options.effort.seed) == ("production", ["psycopg2", "psycopg"], 3)
    assert options.arms[1].connections.settings == {"psycopg": {"prepare_threshold": None}}
    assert options.arms[0].connections.pre_ping
    assert gate.gate.connections["base"] == gate.gate.connections["head"] == options.arms[1].connections
    assert gate.gate.options.drivers == ["psycopg"]


def test_a_gate_judges_settings_of_the_drivers_that_they_concern() -> None:
    request: Any = parsed(["gate", "--base", "psycopg.binary=off", "--head", "psycopg.binary=on", "--head", "pool=3+4"])
    loops: Any = parsed(["gate", "--base", "loop=asyncio", "--head", "loop=uvloop"])
    gate = request.gate

    assert gate.options.drivers == list(DEFAULT), "a pool concerns them all"
    assert gate.connections["base"].settings == {"psycopg": {"binary": "off"}}
    assert gate.connections["head"].pool == Pool(3, 4)
    assert gate.wanted.labels == ("psycopg.binary=off", "psycopg.binary=on, pool=3+4")
    assert loops.gate.options.drivers == ["psycopg", "asyncpg"]


def test_what_is_written_goes_before_what_pyproject_has(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dbbench]\ndriver = ["asyncpg"]\n')
    preset = options_of("wire", "--preset", "sync").drivers
    (tmp_path / "pyproject.toml").write_text('[tool.dbbench]\npreset = "sync"\n')

    assert preset == ["psycopg-sync", "psycopg2"]
    assert options_of("wire", "--driver", "asyncpg").drivers == ["asyncpg"]
    assert options_of("wire").drivers == preset


def test_all_are_the_built_in_scenarios() -> None:
    assert {path.stem for path in options_of("run", "--all").scenarios} == set(builtin())
