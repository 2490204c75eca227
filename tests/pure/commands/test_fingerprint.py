"""What keeps two runs from being compared, what is only said, and what hostile files can do to either."""

from typing import Any

import builders
import msgspec
import pytest
from builders import cell, plan
from hypothesis import given
from hypothesis import strategies as st

from dbbench.commands.stored.fingerprint import NOT_RECORDED, Difference, changed, differences, fingerprint, mismatches
from dbbench.plan import Connections, Placement, Plan, Pool, Value
from dbbench.records import Run, clean

EVIL = "[bold]x[/oops]|`y`<b>\x1b[2J\u202e@me"
TEXTS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=4)


def run(of: Plan | None = None, **header: Any) -> Run:
    made = builders.run(of, [])
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, **header))


def machine(**facts: Any) -> dict[str, Any]:
    """Make an environment in which these facts of the machine are other ones."""
    environment = builders.header().environment
    return {**environment, "machine": {**environment["machine"], **facts}}


def server(**facts: Any) -> dict[str, Any]:
    return {**builders.header().server, **facts}


def test_a_run_is_like_itself() -> None:
    assert mismatches(run(), run()) == []
    assert changed(run(), run()) == []


def test_the_fingerprint_says_machine_python_server_and_settings_in_words() -> None:
    assert fingerprint(run(environment={**machine(cpu_model_name="AMD EPYC"), "usable_cpus": 2})) == {
        "system": "Linux",
        "cpu model": "AMD EPYC",
        "cpus": "2",
        "usable cpus": "2",
        "Python": "3.11.7 (64-bit)",
        "server": "PostgreSQL 18.4",
        "embedded": "False",
        "transport": "unix socket",
        "TLS": "False",
        "server fsync": "on",
        "placement": "split",
        "client cpus": "1",
        "server cpus": "1",
        "idle CPUs": "asleep",
        "pool": "5+10, timeout 30 s",
        "checkout": "request",
        "tx-end": "rollback",
        "loop": "asyncio",
        "pool-pre-ping": "off",
        "driver settings": "default",
        "load": "closed loop",
        "think time": "0 s",
    }


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"environment": machine(cpu_model_name="Intel Xeon")}, Difference("cpu model", NOT_RECORDED, "Intel Xeon")),
        ({"environment": machine(cpu_count=4)}, Difference("cpus", "2", "4")),
        ({"environment": machine(platform="macOS-15.1-arm64")}, Difference("system", "Linux", "macOS")),
        (
            {"environment": machine(python_implementation="pypy")},
            Difference("Python", "3.11.7 (64-bit)", "pypy 3.11.7 (64-bit)"),
        ),
        (
            {"server": server(version="PostgreSQL 17.2 on x")},
            Difference("server", "PostgreSQL 18.4", "PostgreSQL 17.2"),
        ),
        ({"server": server(tls=True)}, Difference("TLS", "False", "True")),
        ({"server": server(embedded=True)}, Difference("embedded", "False", "True")),
        ({"server": server(transport="loopback TCP")}, Difference("transport", "unix socket", "loopback TCP")),
        ({"server": server(settings={"fsync": "off"})}, Difference("server fsync", "on", "off")),
    ],
)
def test_another_machine_python_or_server_is_a_mismatch(header: dict[str, Any], expected: Difference) -> None:
    assert mismatches(run(), run(**header)) == [expected]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"pool": Pool(1, 0)}, "pool"),
        ({"tx_end": "commit"}, "tx-end"),
        ({"checkout": "session"}, "checkout"),
        ({"loop": "uvloop"}, "loop"),
        ({"pre_ping": True}, "pool-pre-ping"),
        ({"rate": 100.0}, "load"),
        ({"think_s": 0.02}, "think time"),
        ({"placement": Placement("free", [0], [1])}, "placement"),
        ({"placement": Placement("split", [0, 2], [1])}, "client cpus"),
    ],
)
def test_settings_that_change_what_is_measured_are_mismatches(settings: dict[str, Any], key: str) -> None:
    assert [one.key for one in mismatches(run(), run(builders.changed(plan(), **settings)))] == [key]


def with_settings(of: Plan, settings: dict[str, dict[str, Value]], arm_name: str = "{}") -> Plan:
    """The plan with settings of drivers; arms that have some get another name, if one is given."""
    arms = [
        msgspec.structs.replace(
            arm,
            name=arm_name.format(arm.driver) if arm.driver in settings else arm.name,
            connections=Connections(settings={arm.driver: settings.get(arm.driver, {})}),
        )
        for arm in of.arms
    ]
    return msgspec.structs.replace(of, arms=arms)


def test_settings_of_drivers_are_mismatches_shown_as_they_are_given() -> None:
    """In alphabetical order: in which order they were given does not matter."""
    given: dict[str, dict[str, Value]] = {
        "asyncpg": {"size": 0, "name": "uuid"},
        "psycopg": {"prepare_threshold": None},
    }

    found = mismatches(run(), run(with_settings(plan(), given)))

    text = "asyncpg.name=uuid, asyncpg.size=0, psycopg.prepare_threshold=none"
    assert found == [Difference("driver settings", "default", text)]


def test_settings_of_one_arm_of_a_driver_are_not_those_of_another() -> None:
    given: dict[str, dict[str, Value]] = {"asyncpg": {"size": 0}}
    one, other = (run(with_settings(plan(), given, name)) for name in ("{}", "{}+safe"))

    assert mismatches(one, other) == [Difference("driver settings", "asyncpg.size=0", "asyncpg+safe.size=0")]


@pytest.mark.parametrize(
    "settings",
    [{"seed": 8}, {"blocks": 3}, {"budget_s": 5.0}, {"precision": 0.01}, {"placement": Placement("split", [3], [2])}],
)
def test_how_long_and_in_which_order_is_no_mismatch(settings: dict[str, Any]) -> None:
    assert mismatches(run(), run(builders.changed(plan(), **settings))) == []


@pytest.mark.parametrize(
    "facts",
    [{"cpu_freq": "0-1=2596 MHz"}, {"load_avg_1min": 3.5}, {"platform": "Linux-6.9-x86_64"}, {"cpu_config": "x"}],
)
def test_the_clock_the_load_and_the_kernel_are_no_mismatch(facts: dict[str, Any]) -> None:
    assert mismatches(run(), run(environment=machine(**facts))) == []


def test_what_people_compare_is_no_mismatch_and_said() -> None:
    environment = builders.header().environment
    head = run(
        environment={**environment, "packages": {**environment["packages"], "psycopg": "3.4.0"}},
        drivers={**builders.header().drivers, "psycopg": {"results": "binary"}},
        dbbench="0.2.0",
    )

    assert mismatches(run(), head) == []
    assert changed(run(), head) == [
        Difference("dbbench", "0.1.0", "0.2.0"),
        Difference("psycopg", "3.3.9", "3.4.0"),
        Difference("psycopg results", "text", "binary"),
    ]


def test_a_scenario_from_another_file_is_said() -> None:
    moved = msgspec.structs.replace(cell(), path="mine.py")

    assert changed(run(), run(plan([moved]))) == [Difference("file of point_reads", "point_reads.py", "mine.py")]
    assert changed(run(), run(plan([cell("others")]))) == []


def test_drivers_of_one_run_alone_have_not_changed() -> None:
    assert changed(run(), run(drivers={"new": {"results": "text"}})) == []


@given(TEXTS, TEXTS)
def test_swapping_base_and_head_swaps_the_sides_of_every_difference(one: dict[str, str], other: dict[str, str]) -> None:
    there, back = differences(one, other), differences(other, one)

    assert {(each.key, each.base, each.head) for each in there} == {(each.key, each.head, each.base) for each in back}
    assert (not there) == (one == other)


@pytest.mark.parametrize(
    "header",
    [
        {"environment": {"machine": [1, 2], "packages": EVIL, "usable_cpus": {"x": EVIL}}},
        {"environment": {}, "server": {}, "drivers": {}},
        {"server": {"version": 7, "settings": EVIL, "transport": None, "tls": [EVIL]}},
        {"server": {"settings": {EVIL * 99: EVIL * 99}}},
        {"environment": {"machine": {"platform": None, "python_version": {EVIL: EVIL}, "cpu_model_name": EVIL}}},
    ],
)
def test_nothing_in_a_header_can_hurt(header: dict[str, Any]) -> None:
    hostile = run(**header)
    found = fingerprint(hostile)

    assert all(clean(text) == text and len(text) <= 200 for text in (*found, *found.values()))
    assert mismatches(run(), hostile)
    assert isinstance(changed(run(), hostile), list)
