"""Files that `dbbench new` writes run unchanged."""

import json
from pathlib import Path

import pytest
from conftest import Cli

SQL = """\
CREATE TABLE orders (id serial PRIMARY KEY, customer_id int, status text, day date, note text);
INSERT INTO orders (customer_id, status, day, note)
  SELECT i % 10, (ARRAY['open', 'closed'])[1 + i % 2], date '2026-01-01' + i % 365, 'a;b %s :x \\d'
  FROM generate_series(1, 500) AS i;

-- :customer: 0..9
-- :status: open, closed
-- :since: 2026-01-01..2026-06-30
SELECT id, note, '12:30'::text, day -- a comment; with :nothing
FROM orders
WHERE customer_id = :customer AND status = :status AND day >= :since
"""


@pytest.mark.parametrize("arguments", [[], ["--from-sql", "orders.sql"]], ids=["commented", "of a query"])
def test_a_new_file_runs_with_every_driver(measure: Cli, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "orders.sql").write_text(SQL)
    assert measure("new", "mine", *arguments).returncode == 0
    few = ("--sessions", "1", "--blocks", "1", "--rounds", "1", "--format", "json", "--quiet")
    done = measure("run", "mine.py", "--layer", "core,raw", *few)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {(row["layer"], row["driver"]) for row in document["cells"] if row["operations"]} == {
        (layer, driver) for layer in ("core", "raw") for driver in ("psycopg", "asyncpg", "psycopg2")
    }
    assert document["errors"] == []
