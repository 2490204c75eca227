"""What a raw operation sends, beside what the driver's own users send."""

from typing import Any

import builders
import msgspec
import pytest

from dbbench.drivers import DRIVERS
from dbbench.plan import Checkout, Layer, TxEnd
from dbbench.records import Run
from dbbench.reports.run.footer import footer
from dbbench.reports.run.sends import sends

TRANSACTION = "raw: an operation that begins with db.transaction() sends its BEGIN and COMMIT instead"
RESET = "the pool's reset (--checkout session leaves it out)"
AUTOCOMMIT = "its own idiom has no BEGIN and no {}: --tx-end autocommit"
ENDS = "its own idiom ends with COMMIT: --tx-end commit"


def run(layer: Layer = "raw", **connections: Any) -> Run:
    plan = builders.changed(builders.plan([builders.cell(layer=layer)]), **connections)
    facts = {arm.name: DRIVERS[arm.driver].adapter().facts() for arm in plan.arms}
    return Run(msgspec.structs.replace(builders.header(plan), drivers=facts), [], [], None)


def test_what_is_sent_by_default_stands_beside_the_drivers_own_idiom() -> None:
    assert sends(run()) == [
        f"raw psycopg: BEGIN, your statements, ROLLBACK (and DEALLOCATE ALL where it had prepared); {ENDS}",
        f"raw asyncpg: BEGIN, your statements, ROLLBACK, {RESET}; {AUTOCOMMIT.format('ROLLBACK')}",
        f"raw psycopg2: BEGIN, your statements, ROLLBACK; {ENDS}",
        TRANSACTION,
    ]


@pytest.mark.parametrize(
    ("tx_end", "checkout", "expected"),
    [
        (
            "commit",
            "session",
            [
                "raw psycopg and psycopg2: BEGIN, your statements, COMMIT",
                f"raw asyncpg: BEGIN, your statements, COMMIT; {AUTOCOMMIT.format('COMMIT')}",
                TRANSACTION,
            ],
        ),
        (
            "autocommit",
            "request",
            [
                "raw psycopg and psycopg2: your statements; its own idiom has BEGIN and COMMIT: --tx-end commit",
                f"raw asyncpg: your statements, {RESET}",
            ],
        ),
    ],
)
def test_what_is_sent_depends_on_the_settings(tx_end: TxEnd, checkout: Checkout, expected: list[str]) -> None:
    assert sends(run(tx_end=tx_end, checkout=checkout)) == expected


def test_only_the_raw_layer_has_it() -> None:
    assert sends(run("core")) == []


def test_what_dbbench_adds_is_among_the_details() -> None:
    text = " ".join(text for _, text in footer(run(), [], details=True))

    for name in ("psycopg", "asyncpg", "psycopg2"):
        assert f"raw {name} and what dbbench adds: {DRIVERS[name].adapter().facts()['adds']}" in text
    assert "what dbbench adds" not in " ".join(text for _, text in footer(run(), []))


def test_an_older_file_says_what_it_knows() -> None:
    old = {"asyncpg": {"on release": "sends a reset query, one more round trip, and keeps the connection"}}
    made = run()
    older = Run(msgspec.structs.replace(made.header, drivers=old), [], [], None)

    (line,) = sends(older)
    assert line == f"raw: the pool of asyncpg {old['asyncpg']['on release']}; --checkout session leaves it out"
