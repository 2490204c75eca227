"""Which arms there are: from what varies, and from names in pyproject.toml."""

import re

import pytest

from dbbench.drivers import DEFAULT
from dbbench.engine.arms import MAX_ARMS, Variation, named, variation, varied
from dbbench.errors import UsageError
from dbbench.plan import Connections, Pool

PING = variation("pool-pre-ping=off,on")


def names(drivers: list[str], *written: str, baseline: str = "") -> dict[str, str]:
    """Arm -> what it is compared with, for what varies as written."""
    made = varied(drivers, Connections(), [variation(each) for each in written], baseline=baseline)
    return {arm.name: arm.baseline for arm in made.arms}


def test_a_variation_is_a_name_and_its_values() -> None:
    assert variation("pool=5+10,15+0,null") == Variation("pool", ("5+10", "15+0", "null"))


def test_every_driver_is_compared_with_itself() -> None:
    assert names(["psycopg", "asyncpg"], "pool-pre-ping=off,on") == {
        "psycopg+pool-pre-ping=off": "psycopg+pool-pre-ping=off",
        "psycopg+pool-pre-ping=on": "psycopg+pool-pre-ping=off",
        "asyncpg+pool-pre-ping=off": "asyncpg+pool-pre-ping=off",
        "asyncpg+pool-pre-ping=on": "asyncpg+pool-pre-ping=off",
    }


def test_what_does_not_concern_a_driver_gives_it_one_arm() -> None:
    assert list(names(["psycopg", "psycopg2"], "psycopg.binary=off,on")) == [
        "psycopg+binary=off",
        "psycopg+binary=on",
        "psycopg2",
    ]
    assert list(names(["psycopg", "psycopg2"], "tx-end=commit,autocommit", "psycopg.prepare_threshold=5,none")) == [
        "psycopg+tx-end=commit+prepare_threshold=5",
        "psycopg+tx-end=commit+prepare_threshold=none",
        "psycopg+tx-end=autocommit+prepare_threshold=5",
        "psycopg+tx-end=autocommit+prepare_threshold=none",
        "psycopg2+tx-end=commit",
        "psycopg2+tx-end=autocommit",
    ]


def test_what_has_one_value_alone_does_not_vary() -> None:
    """It is a setting of all arms, and drivers are compared as ever."""
    made = varied(
        ["psycopg", "asyncpg"], Connections(), [variation("processes=4"), variation("isolation=serializable")]
    )
    mixed = varied(["psycopg", "asyncpg"], Connections(), [variation("processes=4"), PING])

    assert [(arm.name, arm.baseline) for arm in made.arms] == [("psycopg", ""), ("asyncpg", "")]
    assert {(arm.connections.processes, arm.connections.isolation) for arm in made.arms} == {(4, "serializable")}
    assert [arm.name for arm in mixed.arms][:2] == ["psycopg+pool-pre-ping=off", "psycopg+pool-pre-ping=on"]


def test_an_arm_or_its_driver_may_be_the_baseline() -> None:
    on = names(["psycopg", "asyncpg"], "pool-pre-ping=off,on", baseline="asyncpg+pool-pre-ping=on")
    of_driver = varied(["psycopg", "asyncpg"], Connections(), [PING], baseline="asyncpg", compare="all")
    last = varied(["psycopg", "asyncpg"], Connections(), [PING], baseline="asyncpg+pool-pre-ping=on")

    assert on == {
        "psycopg+pool-pre-ping=off": "psycopg+pool-pre-ping=on",
        "psycopg+pool-pre-ping=on": "psycopg+pool-pre-ping=on",
        "asyncpg+pool-pre-ping=off": "asyncpg+pool-pre-ping=on",
        "asyncpg+pool-pre-ping=on": "asyncpg+pool-pre-ping=on",
    }
    assert of_driver.baseline == "asyncpg+pool-pre-ping=off"
    assert all(not arm.baseline for arm in of_driver.arms)
    assert last.baseline == "asyncpg+pool-pre-ping=on"


def test_the_values_are_those_of_connections() -> None:
    pools = varied(["asyncpg"], Connections(pool=Pool(timeout=7.0), pre_ping=True), [variation("pool=3+4,null")]).arms
    ends = varied(["asyncpg"], Connections(), [variation("tx-end=commit"), variation("isolation=repeatable-read")]).arms
    own = varied(
        ["psycopg", "asyncpg"],
        Connections(settings={"psycopg": {"json": "text"}}),
        [variation("psycopg.prepare_threshold=none,0"), variation("psycopg.binary=on")],
    ).arms

    assert [(arm.connections.pool, arm.connections.null_pool, arm.connections.pre_ping) for arm in pools] == [
        (Pool(3, 4, 7.0), False, True),
        (Pool(timeout=7.0), True, False),
    ]
    assert [(arm.connections.tx_end, arm.connections.isolation) for arm in ends] == [("commit", "repeatable-read")]
    assert [arm.connections.settings for arm in own] == [
        {"psycopg": {"json": "text", "prepare_threshold": None, "binary": "on"}},
        {"psycopg": {"json": "text", "prepare_threshold": 0, "binary": "on"}},
        {},
    ]


def test_parameters_of_scenarios_wait_for_their_types() -> None:
    made = varied(["asyncpg"], Connections(), [variation("set.rows=10,1000")]).arms

    assert [(arm.name, arm.params) for arm in made] == [
        ("asyncpg+rows=10", {"rows": "10"}),
        ("asyncpg+rows=1000", {"rows": "1000"}),
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("pre-ping=on", "--vary pre-ping=on: there is no setting 'pre-ping'; did you mean pool-pre-ping?"),
        ("psycopg.binry=on", "there is no setting 'psycopg.binry'; did you mean psycopg.binary?"),
        ("set.=on", "there is no setting 'set.'"),
        ("pool", "--vary pool: write it as NAME=VALUE,VALUE, like pool-pre-ping=off,on"),
        ("pool=", "write it as NAME=VALUE,VALUE"),
        ("pool=5+10,", "write it as NAME=VALUE,VALUE"),
        ("pool=5", "--vary pool=5: pool is size and overflow, like 5+10, or null"),
        ("pool=0+3", "--vary pool=0+3: pool is size and overflow, like 5+10, or null"),
        ("pool-pre-ping=no", "--vary pool-pre-ping=no: pool-pre-ping is off or on; did you mean on?"),
        ("tx-end=comit", "tx-end is rollback or commit or autocommit; did you mean commit?"),
        ("isolation=serialisable", "did you mean serializable?"),
        ("psycopg.prepare_threshold=5,never", "psycopg.prepare_threshold is a number or none"),
        ("psycopg.binary=yes", "psycopg.binary is off or on; there is off, on"),
        ("psycopg-sync.binary=on", "psycopg-sync is not measured; --driver psycopg-sync adds it"),
        ("set.rows=5", "--vary set.rows=5 has one value; --set rows=5"),
        ("pool=5+10,5+10", "two arms are called psycopg+pool=5+10; leave one out"),
    ],
)
def test_what_cannot_vary_is_refused(written: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        varied(DEFAULT, Connections(), [variation(written)])


@pytest.mark.parametrize(("written", "package"), [("json=stdlib,orjson", "orjson"), ("loop=uvloop", "uvloop")])
def test_a_package_that_is_missing_is_named(written: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbbench.engine.arms.find_spec", lambda _name: None)
    said = f"--vary {written.partition('=')[0]}={package}: {package} is not installed; pip install 'dbbench[{package}]'"

    with pytest.raises(UsageError, match=re.escape(said)):
        varied(["asyncpg"], Connections(), [variation(written)])


def test_a_loop_concerns_no_thread() -> None:
    with pytest.raises(
        UsageError, match="--vary loop is for async drivers; --preset async measures psycopg and asyncpg"
    ):
        varied(["psycopg2"], Connections(), [variation("loop=asyncio,uvloop")])


def test_the_same_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="--vary pool-pre-ping is given twice"):
        varied(["psycopg2"], Connections(), [PING, variation("pool-pre-ping=on")])


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(UsageError, match="no arm of this run; did you mean asyncpg"):
        varied(["asyncpg"], Connections(), [PING], baseline="asyncpg+pre-ping=on")


def test_a_null_pool_has_nothing_to_check() -> None:
    with pytest.raises(UsageError, match=r"asyncpg.pool=null.pool-pre-ping=on: a NullPool keeps no connection"):
        varied(["asyncpg"], Connections(), [variation("pool=5+10,null"), PING])


def test_a_product_has_a_limit() -> None:
    thirteen = variation(f"set.rows={','.join(map(str, range(13)))}")
    huge = [variation(f"set.{name}={','.join(map(str, range(99)))}") for name in "abcdefgh"]

    assert len(varied(["asyncpg"], Connections(), [thirteen]).arms) == 13
    with pytest.raises(UsageError, match=f"more than {MAX_ARMS} arms; name fewer drivers or fewer values"):
        varied(["asyncpg"], Connections(), [thirteen, PING])
    with pytest.raises(UsageError, match=f"more than {MAX_ARMS} arms"):
        varied(["asyncpg"], Connections(), huge)


TABLES = {
    "production": {"driver": "psycopg2", "pool": "5+10", "pool-pre-ping": "on"},
    "candidate": {"driver": "psycopg", "pool": "15+0", "psycopg.binary": "on", "tx-end": "commit"},
}


def test_named_arms_have_their_drivers_and_settings() -> None:
    made = named(TABLES, ["production", "candidate"], Connections())
    production, candidate = made.arms

    assert (made.baseline, made.drivers) == ("production", ["psycopg2", "psycopg"])
    assert (production.driver, production.connections) == ("psycopg2", Connections(pre_ping=True))
    assert (candidate.name, candidate.connections) == (
        "candidate",
        Connections(pool=Pool(15, 0), tx_end="commit", settings={"psycopg": {"binary": "on"}}),
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"driver": "psycopg3"}, "[tool.dbbench.arms.mine]: no driver 'psycopg3'; did you mean psycopg?"),
        ({"pool": "5+10"}, "[tool.dbbench.arms.mine]: it has no driver"),
        ({"driver": "asyncpg", "pools": "5+10"}, "pools = 5+10: there is no setting 'pools'; did you mean pool?"),
        ({"driver": "asyncpg", "pool": "5"}, "[tool.dbbench.arms.mine] pool=5: pool is size and overflow"),
        ({"driver": "asyncpg", "psycopg.binary": "on"}, "psycopg.binary does not concern asyncpg"),
        ({"driver": "psycopg2", "loop": "asyncio"}, "loop does not concern psycopg2"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        named({"mine": table}, ["mine"], Connections())


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--arm production: pyproject.toml has no .* none has been named there"):
        named({}, ["production"], Connections())
    with pytest.raises(UsageError, match="did you mean production"):
        named(TABLES, ["produktion"], Connections())
    with pytest.raises(UsageError, match="a name has letters"):
        named({"a b": {"driver": "asyncpg"}}, ["a b"], Connections())
