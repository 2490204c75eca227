"""What reports say of a run that compares settings: which with which, in which words."""

import io
import json

import msgspec
import pytest
from builders import measurements, plan, run
from rich.console import Console

from dbbench.analysis.analysis import analyse
from dbbench.commands.stored.fingerprint import fingerprint
from dbbench.plan import Arm, Connections, Plan, Pool, Value
from dbbench.records import Run
from dbbench.reports.run import json as json_report
from dbbench.reports.run.footer import conditions
from dbbench.reports.run.markdown import report
from dbbench.reports.run.table import render

MEANS = {
    "psycopg+pool-pre-ping=off": 200.0,
    "psycopg+pool-pre-ping=on": 262.0,
    "asyncpg+pool-pre-ping=off": 100.0,
    "asyncpg+pool-pre-ping=on": 100.1,
    "psycopg2": 150.0,
}


def arms(*names: str) -> list[Arm]:
    """Arms as their names have them, each compared with the first of its driver."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.partition("+")[0], name)
    return [
        Arm(name, driver, Connections(pre_ping=name.endswith("on")), baseline=first[driver])
        for name in names
        for driver in [name.partition("+")[0]]
    ]


def compared(**changes: object) -> Run:
    made = msgspec.structs.replace(plan(arms=list(MEANS)), arms=arms(*MEANS))
    of = run(made, measurements(MEANS, noise=0.001))
    return msgspec.structs.replace(of, header=msgspec.structs.replace(of.header, **changes))


def printed(of: Run, width: int = 100) -> str:
    """What a terminal shows, without its line breaks."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    render(analyse(of), console)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_each_driver_is_compared_with_itself() -> None:
    rows = {row.driver: row for row in analyse(compared()).rows}

    assert {name: row.verdict for name, row in rows.items()} == {
        "psycopg+pool-pre-ping=off": "baseline",
        "psycopg+pool-pre-ping=on": "slower",
        "asyncpg+pool-pre-ping=off": "baseline",
        "asyncpg+pool-pre-ping=on": "tie",
        "psycopg2": "baseline",
    }
    assert rows["psycopg+pool-pre-ping=on"].ratio == pytest.approx(1.31, abs=0.002)
    assert rows["asyncpg+pool-pre-ping=on"].ratio == pytest.approx(1.001, abs=0.002)


def test_a_sentence_for_each_driver_names_the_settings() -> None:
    shown = printed(compared())

    assert "time vs" in shown
    assert (
        "psycopg: pool-pre-ping=on needs 31.0% more time per operation than pool-pre-ping=off (30.8% to 31.2%)."
        in shown
    )
    assert "asyncpg: pool-pre-ping=on ties with pool-pre-ping=off within 3%." in shown
    assert "psycopg2:" not in shown


def test_round_trips_say_why() -> None:
    trips: dict[str, list[float | None]] = {
        "psycopg+pool-pre-ping=off": [3.0], "psycopg+pool-pre-ping=on": [5.0], "asyncpg+pool-pre-ping=on": [None],
    }  # fmt: skip
    shown = printed(compared(round_trips=trips))

    assert "(30.8% to 31.2%), with 2 more round trips." in shown
    fewer = {**trips, "psycopg+pool-pre-ping=on": [2.0]}
    assert "(30.8% to 31.2%), with 1 fewer round trip." in printed(compared(round_trips=fewer))


def test_a_baseline_that_was_not_measured_is_that_of_its_own_group() -> None:
    of = compared()
    left = [one for one in of.measurements if one.arm != "asyncpg+pool-pre-ping=off"]
    shown = printed(msgspec.structs.replace(of, measurements=left))

    assert "asyncpg: pool-pre-ping=off, the baseline, was not measured here: nothing is compared with it." in shown
    assert "psycopg: pool-pre-ping=on needs 31.0% more" in shown


def test_markdown_has_the_same_sentences() -> None:
    text = report(analyse(compared()))

    assert "time vs pool-pre-ping=off" in text
    assert "asyncpg: pool-pre-ping=on ties with pool-pre-ping=off within 3%" in text


def test_one_baseline_for_all_is_said_as_ever() -> None:
    of = compared()
    made = of.header.plan.against("psycopg+pool-pre-ping=off")
    shown = printed(msgspec.structs.replace(of, header=msgspec.structs.replace(of.header, plan=made)))

    assert "time vs psycopg+pool-pre-ping=off psycopg" not in shown
    assert "asyncpg+pool-pre-ping=on needs 50" in shown
    assert "psycopg+pool-pre-ping=on needs 31.0% more time per operation than psycopg+pool-pre-ping=off" in shown


def test_the_footer_has_what_all_arms_share() -> None:
    facts = dict(conditions(compared()))

    assert facts["settings"] == "pool 5+10, checkout per request, tx-end rollback, loop asyncio"
    assert "pre-ping" not in facts["settings"]


def named_arms() -> Plan:
    made = plan(arms=["production", "candidate"])
    production = Arm("production", "psycopg2", Connections(pre_ping=True, tx_end="commit"))
    own: dict[str, dict[str, Value]] = {"psycopg": {"binary": "on"}}
    candidate = Arm("candidate", "psycopg", Connections(pool=Pool(15, 0), tx_end="commit", settings=own))
    return msgspec.structs.replace(made, arms=[production, candidate])


def test_names_from_pyproject_are_explained() -> None:
    facts = conditions(run(named_arms(), []))

    assert ("settings", "checkout per request, tx-end commit, loop asyncio") in facts
    said = dict(facts)[""]
    assert "production: psycopg2 pool 5+10 pre-ping" in said
    assert "candidate: psycopg pool 15+0" in said
    assert "psycopg binary=on" in said


def test_the_document_has_the_settings_of_every_arm() -> None:
    arms = json.loads(json_report.report(analyse(run(named_arms(), []))))["run"]["plan"]["arms"]

    assert [arm["baseline"] for arm in arms] == ["production", "production"]
    assert [(arm["pool"]["size"], arm["pre_ping"], arm["tx_end"]) for arm in arms] == [
        (5, True, "commit"),
        (15, False, "commit"),
    ]


def test_settings_of_all_arms_are_conditions() -> None:
    one, other = fingerprint(run(named_arms(), [])), fingerprint(compared())

    assert one["pool"] == "5+10, timeout 30 s | 15+0, timeout 30 s"
    assert one["pool-pre-ping"] == "on | off"
    assert other["pool-pre-ping"] == "off | on"
