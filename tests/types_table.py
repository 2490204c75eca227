"""PostgreSQL's types and edge values, and what the drivers make of them: adding one is adding a row.

tests/real/test_types.py holds every driver to the table, and docs/types.md is made from it:
`PYTHONPATH=tests python tests/types_table.py`.
"""

import datetime
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from psycopg.types.multirange import Multirange
from sqlalchemy.dialects import postgresql as pg

from dbbench.analysis.natures import NATURES

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "types.md"
COLUMNS: Final = ("psycopg", "asyncpg", "psycopg2")
NUMBER: Final = "12345678-1234-4234-8234-123456789abc"
UTC: Final = datetime.UTC
ODD: Final = "a\tb\\N\n\"c\" 'd' {e,f} %s $1 é"
TYPES_OF_OURS: Final = (
    "CREATE TYPE mood AS ENUM ('sad', 'so so')",
    "CREATE TYPE pair AS (x int, y text)",
    "CREATE DOMAIN small AS int CHECK (VALUE < 10)",
)


MANY: Final = "execute_many"
COPY: Final = "copy_in"
NO_TEXT: Final = {("asyncpg", MANY): "DataError", ("asyncpg", COPY): "TypeError"}  # wants the type's own object
NO_BINARY: Final = {("asyncpg", COPY): "InternalClientError"}  # and COPY is binary
NO_CAST: Final = {("psycopg2", MANY): "DatatypeMismatch"}  # it writes ARRAY['...'], which is text[]


@dataclass(frozen=True)
class Type:
    """A type with a value, and where drivers do not do the same with it."""

    name: str  # of the type, and what is special about the value
    column: str  # the type of a column that holds it
    literal: str  # the value as SQL
    value: Any = None  # the value as an argument, the same for every driver; None: there is no such value
    nature: str = ""  # of the difference, where drivers do not give the same: a name of analysis/natures.py, or two
    gives: tuple[str, str, str] | None = None  # what psycopg, asyncpg and psycopg2 give then, see told(); or an error
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (driver, way of writing) -> its error
    stored: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (driver, way) -> what is stored instead
    typed: Any = None  # the type of SQLAlchemy, where it has one
    levelled: bool = False  # whether that type gives the same for all drivers, although they do not

    def __str__(self) -> str:
        return self.name

    def given(self, driver: str) -> str:
        """What the driver gives, where that is said."""
        return "" if self.gives is None else self.gives[COLUMNS.index(kin(driver))]


def kin(driver: str) -> str:
    """The driver that stands for this one: both of psycopg 3 have one set of adapters."""
    return "psycopg" if driver == "psycopg-sync" else driver


def told(value: object) -> str:
    """What a driver gives, as the page has it."""
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case datetime.datetime():
            return "datetime" if value.tzinfo is None else "datetime with time zone"
        case list() | Multirange() if value:
            return f"list of {type(value[0]).__name__}"
        case tuple() if type(value) is tuple:
            return repr(value)
    return type(value).__name__


T = Type
TYPES: Final = (
    T("int2", "int2", "1", 1, typed=sa.SmallInteger()),
    T("int8, largest", "int8", "9223372036854775807", 2**63 - 1, typed=sa.BigInteger()),
    T("float4", "float4", "0.1", 0.1, typed=sa.REAL(), nature="float4", gives=("0.1", "0.10000000149011612", "0.1")),
    T("float8", "float8", "0.1", 0.1, typed=sa.Double()),
    T("float8, NaN", "float8", "'NaN'", float("nan"), typed=sa.Double()),
    T("float8, infinity", "float8", "'-Infinity'", float("-inf"), typed=sa.Double()),
    T("float8, minus zero", "float8", "'-0'", -0.0, typed=sa.Double(), stored={("psycopg2", MANY): "0"}),
    T("numeric, round thousands", "numeric", "10000", Decimal(10_000), typed=sa.Numeric()),
    T("numeric, exponent", "numeric", "1e30", Decimal("1E+30"), typed=sa.Numeric()),
    T("numeric, zeros behind", "numeric(8,3)", "1.5", Decimal("1.50"), typed=sa.Numeric(8, 3)),
    T("numeric, NaN", "numeric", "'NaN'", Decimal("NaN"), typed=sa.Numeric()),
    T(
        "numeric, 40 digits",
        "numeric",
        "1.0000000000000000000000000000000000000001",
        Decimal("1.0000000000000000000000000000000000000001"),
        typed=sa.Numeric(),
    ),
    T("bool", "bool", "true", True, typed=sa.Boolean()),
    T("text", "text", "'x'", "x", typed=sa.Text()),
    T("text, empty", "text", "''", "", typed=sa.Text()),
    T("text, odd characters", "text", "E'" + ODD.replace("\\", "\\\\").replace("'", "\\'") + "'", ODD, typed=sa.Text()),
    T("text, \\N", "text", r"'\N'", r"\N", typed=sa.Text()),
    T("char(5)", "char(5)", "'ab'", "ab", typed=sa.CHAR(5)),
    T('"char"', '"char"', "'x'", "x", nature="char", gives=("'x'", "bytes", "'x'"), refused=NO_TEXT),
    T("name", "name", "'n'", "n"),
    T("bytea", "bytea", r"'\x00ff5c0a'", b"\x00\xff\\\n", typed=sa.LargeBinary()),
    T("bytea, empty", "bytea", "''", b"", typed=sa.LargeBinary()),
    T("uuid", "uuid", f"'{NUMBER}'", uuid.UUID(NUMBER), typed=sa.Uuid()),
    T("date", "date", "'0987-01-02'", datetime.date(987, 1, 2), typed=sa.Date()),
    T("date, infinity", "date", "'infinity'", typed=sa.Date(), nature="infinity", gives=("DataError", "date", "date")),
    T(
        "date, last",
        "date",
        "'9999-12-31'",
        datetime.date.max,
        typed=sa.Date(),
        stored={("asyncpg", MANY): "infinity", ("asyncpg", COPY): "infinity"},
    ),
    T("time", "time", "'12:00:00.5'", datetime.time(12, 0, 0, 500_000), typed=sa.Time()),
    T("time, 24:00", "time", "'24:00'", gives=("DataError", "ValueError", "time")),
    T(
        "timetz",
        "timetz",
        "'12:00+02'",
        datetime.time(12, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        typed=sa.Time(timezone=True),
    ),
    T(
        "timestamp",
        "timestamp",
        "'2026-01-02 03:04:05.678'",
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678_000),  # noqa: DTZ001
        typed=sa.DateTime(),
    ),
    T(
        "timestamptz",
        "timestamptz",
        "'2026-01-02 03:04+05'",
        datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
        typed=sa.DateTime(timezone=True),
    ),
    T(
        "timestamptz, infinity",
        "timestamptz",
        "'infinity'",
        typed=sa.DateTime(timezone=True),
        nature="infinity",
        gives=("DataError", "datetime", "datetime with time zone"),
    ),
    T(
        "interval",
        "interval",
        "'-3 days 04:05:06.7'",
        datetime.timedelta(days=-3, hours=4, minutes=5, seconds=6, microseconds=700_000),
        typed=sa.Interval(),
    ),
    T("interval, months", "interval", "'1 year 2 mons'", typed=sa.Interval()),
    T(
        "json",
        "json",
        """'{"a": [1, null]}'""",
        '{"a": [1, null]}',
        nature="json text",
        gives=("dict", """'{"a": [1, null]}'""", "dict"),
    ),
    T(
        "jsonb",
        "jsonb",
        """'{"a": [1, null], "b": 1.5}'""",
        '{"a": [1, null], "b": 1.5}',
        nature="json text",
        gives=("dict", """'{"a": [1, null], "b": 1.5}'""", "dict"),
    ),
    T("jsonb, a text", "jsonb", "'\"x\"'", '"x"', nature="json string", gives=("'x'", "'\"x\"'", "'x'")),
    T("jsonb, null", "jsonb", "'null'", "null", nature="json text", gives=("None", "'null'", "None")),
    T(
        "jsonb, as a typed column",
        "jsonb",
        """'{"a": [1, "é"]}'""",
        typed=pg.JSONB(),
        nature="json text",
        gives=("dict", """'{"a": [1, "é"]}'""", "dict"),
        levelled=True,
    ),
    T(
        "inet",
        "inet",
        "'192.168.0.1'",
        "192.168.0.1",
        typed=pg.INET(),
        nature="address text",
        gives=("IPv4Address", "IPv4Address", "'192.168.0.1'"),
    ),
    T(
        "inet, with mask",
        "inet",
        "'192.168.0.1/24'",
        "192.168.0.1/24",
        typed=pg.INET(),
        nature="address text",
        gives=("IPv4Interface", "IPv4Interface", "'192.168.0.1/24'"),
    ),
    T(
        "cidr",
        "cidr",
        "'10.0.0.0/8'",
        "10.0.0.0/8",
        typed=pg.CIDR(),
        nature="address text",
        gives=("IPv4Network", "IPv4Network", "'10.0.0.0/8'"),
    ),
    T("macaddr", "macaddr", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03", typed=pg.MACADDR(), refused=NO_BINARY),
    T(
        "bit",
        "bit(3)",
        "'101'",
        "101",
        typed=pg.BIT(3),
        nature="bit text",
        gives=("'101'", "BitString", "'101'"),
        levelled=True,
        refused=NO_TEXT,
    ),
    T("int4range", "int4range", "'[1,5)'", "[1,5)", typed=pg.INT4RANGE(), refused=NO_TEXT),
    T("int4range, open", "int4range", "'(,5)'", "(,5)", typed=pg.INT4RANGE(), refused=NO_TEXT),
    T("numrange", "numrange", "'[1.0,2.50)'", "[1.0,2.50)", typed=pg.NUMRANGE(), refused=NO_TEXT),
    T("tstzrange", "tstzrange", "'[2026-01-01 00:00+00,)'", typed=pg.TSTZRANGE()),
    T(
        "daterange",
        "daterange",
        "'[2026-01-01,2026-02-01)'",
        "[2026-01-01,2026-02-01)",
        typed=pg.DATERANGE(),
        refused=NO_TEXT,
    ),
    T(
        "int4multirange",
        "int4multirange",
        "'{[1,3),[5,7)}'",
        "{[1,3),[5,7)}",
        typed=pg.INT4MULTIRANGE(),
        nature="array text",
        gives=("list of Range", "list of Range", "'{[1,3),[5,7)}'"),
        refused=NO_TEXT,
    ),
    T("enum", "mood", "'so so'", "so so", typed=pg.ENUM("sad", "so so", name="mood", create_type=False)),
    T(
        "enum[]",
        "mood[]",
        "'{sad,so so}'",
        ["sad", "so so"],
        typed=pg.ARRAY(pg.ENUM("sad", "so so", name="mood", create_type=False)),
        nature="array text",
        gives=("'{sad,\"so so\"}'", "list of str", "'{sad,\"so so\"}'"),
        levelled=True,
        refused=NO_CAST,
    ),
    T("domain", "small", "7", 7),
    T(
        "composite",
        "pair",
        "ROW(1, 'a b')",
        (1, "a b"),
        nature="row text",
        gives=("'(1,\"a b\")'", "Record", "'(1,\"a b\")'"),
    ),
    T("unnamed row", "", "ROW(1, 'x')", nature="number text, row text", gives=("('1', 'x')", "(1, 'x')", "'(1,x)'")),
    T("void", "", "pg_sleep(0)", nature="none", gives=("''", "None", "''")),
    T(
        "composite[]",
        "pair[]",
        "ARRAY[ROW(1, 'x')::pair]",
        nature="array text",
        gives=("""'{"(1,x)"}'""", "list of Record", """'{"(1,x)"}'"""),
    ),
    T("point", "point", "'(1,2)'", "(1,2)", nature="row text", gives=("'(1,2)'", "Point", "'(1,2)'"), refused=NO_TEXT),
    T(
        "polygon",
        "polygon",
        "'((0,0),(1,1))'",
        nature="row text",
        gives=("'((0,0),(1,1))'", "Polygon", "'((0,0),(1,1))'"),
    ),
    T("money", "money", "'1.5'", "$1.50", typed=pg.MONEY(), refused=NO_BINARY),
    T("tsvector", "tsvector", "'cat:2'", "'cat':2", typed=pg.TSVECTOR(), refused=NO_BINARY),
    T("oid", "oid", "42", 42, typed=pg.OID()),
    T("tid", "tid", "'(0,1)'", nature="row text", gives=("'(0,1)'", "(0, 1)", "'(0,1)'")),
    T("pg_lsn", "pg_lsn", "'0/16B3740'", nature="log position", gives=("'0/16B3740'", "23803712", "'0/16B3740'")),
    T("int2vector", "int2vector", "'1 2'", nature="other text", gives=("'1 2'", "list of int", "'1 2'")),
    T("int4[]", "int4[]", "'{1,NULL,3}'", [1, None, 3], typed=pg.ARRAY(sa.Integer())),
    T("int4[], empty", "int4[]", "'{}'", [], typed=pg.ARRAY(sa.Integer())),
    T("int4[][]", "int4[][]", "'{{1,2},{3,4}}'", [[1, 2], [3, 4]], typed=pg.ARRAY(sa.Integer(), dimensions=2)),
    T(
        "text[]",
        "text[]",
        """ARRAY['a"b', 'c\\d', NULL, 'NULL', '', '{x,y}']""",
        ['a"b', "c\\d", None, "NULL", "", "{x,y}"],
        typed=pg.ARRAY(sa.Text()),
    ),
    T("numeric[]", "numeric[]", "'{1000,2.50}'", [Decimal(1000), Decimal("2.50")], typed=pg.ARRAY(sa.Numeric())),
    T("bool[]", "bool[]", "'{t,f}'", [True, False], typed=pg.ARRAY(sa.Boolean())),
    T("date[]", "date[]", "'{2026-01-02}'", [datetime.date(2026, 1, 2)], typed=pg.ARRAY(sa.Date())),
    T(
        "timestamptz[]",
        "timestamptz[]",
        "'{2026-01-02 03:04+00}'",
        [datetime.datetime(2026, 1, 2, 3, 4, tzinfo=UTC)],
        typed=pg.ARRAY(sa.DateTime(timezone=True)),
    ),
    T("uuid[]", "uuid[]", f"'{{{NUMBER}}}'", [uuid.UUID(NUMBER)], typed=pg.ARRAY(sa.Uuid())),
    T("bytea[]", "bytea[]", r"ARRAY['\x00ff'::bytea]", [b"\x00\xff"], typed=pg.ARRAY(sa.LargeBinary())),
    T(
        "jsonb[]",
        "jsonb[]",
        """ARRAY['{"a": 1}'::jsonb]""",
        ['{"a": 1}'],
        nature="json text",
        gives=("list of dict", "list of str", "list of dict"),
        refused=NO_CAST,
    ),
    T(
        "inet[]",
        "inet[]",
        "'{10.0.0.1}'",
        ["10.0.0.1"],
        typed=pg.ARRAY(pg.INET()),
        nature="address text",
        gives=("list of IPv4Address", "list of IPv4Address", "list of str"),
        refused=NO_CAST,
    ),
)


def page(text: str) -> str:
    """The page with both of its tables made anew."""
    for name, table in (("reading", reading()), ("writing", writing())):
        mark = f"<!-- {name}: made by tests/types_table.py -->\n\n"
        before, _, after = text.partition(mark)
        rest = re.sub(r"\A(?:[|].*\n)*", "", after)
        text = before + mark + table + rest
    return text


def reading() -> str:
    """What drivers give differently."""
    rows = []
    for each in TYPES:
        if each.gives is None:
            continue
        typed = "" if each.typed is None else "the same" if each.levelled else "no"
        natures = [nature.way_out for nature in NATURES if nature.name in each.nature.split(", ")]
        way_out = "; ".join(natures) or "select it as column::text"
        rows.append([_sql(each), *(f"`{given}`" for given in each.gives), typed, way_out])
    return _table(["value", *COLUMNS, "same with SQLAlchemy's type", "way out"], rows)


def writing() -> str:
    """What drivers take differently as arguments."""
    rows = []
    for each in TYPES:
        outcomes = {key: f"`{error}`" for key, error in each.refused.items()}
        outcomes |= {key: f"stores `{text}`" for key, text in each.stored.items()}
        for (driver, way), outcome in outcomes.items():
            rows.append([f"{each.column}: `{each.value!r}`", f"{driver}, `{way}`", outcome])
    return _table(["argument", "where", "outcome"], rows)


def _sql(each: Type) -> str:
    return f"`({each.literal})::{each.column}`" if each.column else f"`{each.literal}`"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
