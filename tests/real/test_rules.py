"""One rule for all drivers: what only some of them take is refused at the check, with one message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import start_with

from dbbench import messages
from dbbench.child import WorkerFailedError, WorkerProcess
from dbbench.drivers import PRESETS
from dbbench.messages import Checked, Done, Open, Started
from dbbench.messages import Start as StartMessage
from dbbench.plan import Cell, Checkout

ALL = PRESETS["all"]

PATIENCE_S = 60.0
RULE = "write $1, $2, ... for every driver, as PostgreSQL has them"
TOGETHER = "arguments are given one by one, (sql, a, b), not together in a list or tuple"
LIST = "IN $1 takes no list in PostgreSQL; write = ANY($1) and give a list"
REFUSED = {
    "db.fetch_one('SELECT %s::int', 1)": f"%s is no placeholder; {RULE}",
    "db.fetch_all('SELECT :id', {'id': 1})": f":id is no placeholder; {RULE}",
    "db.fetch_one('SELECT $1::int', (1,))": TOGETHER,
    "db.fetch_one('SELECT $1::int', 1, 2)": "the placeholders are $1, and there are 2 arguments",
    "db.fetch_all('SELECT 1 WHERE 1 IN $1', (1, 2))": LIST,
    "db.fetch_all('SELECT 1 WHERE 1 = ANY($1)', (1, 2))": "ANY($1) takes a list, not a tuple; list(value) makes one",
    "db.execute('SELECT $1::jsonb', {'a': 1})": (
        "a dict goes in as text, json.dumps(value), or with --driver-set DRIVER.json=python"
    ),
    "db.execute_many('SELECT %s::int', [(1,)])": f"%s is no placeholder; {RULE}",
    "db.copy_in('t', 'id', [(1,)])": "columns are a list of names, not 'id'",
    "db.copy_in('\"t\"', ['id'], [(1,)])": '"t" is given without quotes, as the catalog has it',
    "db.copy_in('t', ['id'], [({},)])": (
        "a dict goes in as text, json.dumps(value), or with --driver-set DRIVER.json=python"
    ),
}  # fmt: skip


@pytest.fixture(params=ALL)
def worker(request: pytest.FixtureRequest, start: StartMessage) -> Iterator[WorkerProcess]:
    with WorkerProcess(request.param, start_with(start, driver=request.param)) as made:
        made.reply(Started, PATIENCE_S)
        yield made


def checked(worker: WorkerProcess, path: Path, operation: str, schema: str) -> Checked:
    path.write_text(f"import json\n\nasync def raw(db, params, rng):\n    return await {operation}\n")
    worker.ask(Open(Cell(path.stem, "raw", 1, {}, str(path)), schema), Done, PATIENCE_S)
    return worker.ask(messages.Check(["1", "2"]), Checked, PATIENCE_S)


def test_what_only_some_drivers_take_is_refused_alike(worker: WorkerProcess, tmp_path: Path, schema: str) -> None:
    for number, (operation, message) in enumerate(REFUSED.items()):
        path = tmp_path / f"refused_{number}.py"
        with pytest.raises(WorkerFailedError) as caught:
            checked(worker, path, operation, schema)
        assert str(caught.value) == f"{path.name}:4: StatementError: {message}"


@pytest.mark.parametrize("checkout", ["request", "session"])
def test_the_check_holds_sessions_with_a_connection_to_the_rules(
    start: StartMessage, tmp_path: Path, schema: str, checkout: Checkout
) -> None:
    with WorkerProcess("psycopg2", start_with(start, driver="psycopg2", checkout=checkout)) as worker:
        worker.reply(Started, PATIENCE_S)
        with pytest.raises(WorkerFailedError, match="%s is no placeholder"):
            checked(worker, tmp_path / "refused.py", "db.fetch_one('SELECT %s::int', 1)", schema)


@pytest.mark.parametrize(
    "operation",
    [
        "db.fetch_all('SELECT n FROM generate_series(1, 9) n WHERE n = ANY($1) ORDER BY n', [3, 5])",
        "db.fetch_one('SELECT $2::text, $1::int, $2::text || $3', 7, 'x', 'y')",
        "db.execute_many('SELECT $1::int', ((number,) for number in range(9)))",
        """db.fetch_one("SELECT 9 % 5, '%s :x ?'")""",
    ],
)
def test_what_all_drivers_take_is_checked_alike(
    worker: WorkerProcess, tmp_path: Path, schema: str, operation: str
) -> None:
    found: Any = checked(worker, tmp_path / "fine.py", operation, schema)

    assert found.lines
    assert not any("raised" in line for line in found.lines)


def test_decoding_what_is_decoded_says_so(worker: WorkerProcess, tmp_path: Path, schema: str) -> None:
    operation = "db.fetch_one('SELECT $1::jsonb', '[1]')"
    path = tmp_path / "decoded.py"
    path.write_text(f"import json\n\nasync def raw(db, params, rng):\n    return json.loads((await {operation})[0])\n")
    worker.ask(Open(Cell("decoded", "raw", 1, {}, str(path)), schema), Done, PATIENCE_S)
    if worker.name == "asyncpg":
        assert worker.ask(messages.Check(["1"]), Checked, PATIENCE_S).lines[1] == "operation 1[0]: int 1"
    else:
        with pytest.raises(
            WorkerFailedError, match=r"has decoded it already: use json\.loads\(\) only where the value"
        ):
            worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)


@pytest.mark.parametrize("placeholder", ["%s", "$1"])
def test_placeholders_of_exec_driver_sql_are_named_where_they_are_another_drivers(
    worker: WorkerProcess, tmp_path: Path, schema: str, placeholder: str
) -> None:
    path = tmp_path / "driver_sql.py"
    path.write_text(
        "async def core(connection, params, rng):\n"
        f"    return (await connection.exec_driver_sql('SELECT {placeholder} + 1', (1,))).scalar_one()\n"
    )
    worker.ask(Open(Cell("driver_sql", "core", 1, {}, str(path)), schema), Done, PATIENCE_S)
    if (worker.name == "asyncpg") == (placeholder == "$1"):
        assert worker.ask(messages.Check(["1"]), Checked, PATIENCE_S).lines == ["operation 1: int 2"]
    else:
        with pytest.raises(
            WorkerFailedError, match=r"; exec_driver_sql\(\) takes each driver's own placeholders; text"
        ):
            worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)
