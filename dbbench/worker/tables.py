"""The tables of a run, in a worker of their own: made, reset, vacuumed and compared through one sync driver."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from dbbench.drivers import DRIVERS
from dbbench.messages import Start
from dbbench.worker.client import server_settings

_STRUCTURE: Final = """
    SELECT format('column %s.%s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
     WHERE relnamespace = current_schema()::regnamespace AND attnum > 0 AND NOT attisdropped AND relkind <> 'i'
    UNION ALL
    SELECT pg_get_indexdef(indexrelid)
      FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
     ORDER BY 1
"""


class Tables:
    """One connection for every schema, opened when it is first needed."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._engines: dict[str, Any] = {}

    def run(self, function: Callable[[Any, Any], object] | None, schema: str, params: dict[str, Any]) -> None:
        """Run a scenario's prepare() or reset(), if it has one, and commit."""
        if function is not None:
            with self._engine(schema).begin() as connection:
                function(connection, params)

    def fingerprint(self, schema: str, *, structure: bool) -> list[str]:
        """The contents of the tables: a line for each, by name, with the number of its rows and a digest of them.

        With `structure`, also a line for each column, constraint and index.
        """
        from sqlalchemy import text

        found = []
        with self._engine(schema).connect() as connection:
            for table in _tables(connection):
                row = connection.execute(
                    text(f"SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} t")  # noqa: S608
                ).one()
                found.append(f"table {table}: {row[0]} rows, digest {row[1]}")
            if structure:
                found += [line.replace(f"{schema}.", "") for line in connection.scalars(text(_STRUCTURE))]
        return found

    def tidy(self, schemas: Sequence[str], *, checkpoint: bool) -> None:
        """Vacuum and analyze the tables, so that no block pays for the previous one; with `checkpoint`, CHECKPOINT."""
        from sqlalchemy import text

        for schema in schemas:
            with self._engine(schema).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for table in _tables(connection):
                    connection.execute(text(f"VACUUM (ANALYZE) {table}"))
                if checkpoint:
                    connection.execute(text("CHECKPOINT"))

    def _engine(self, schema: str) -> Any:
        from sqlalchemy import create_engine

        if schema not in self._engines:
            driver = DRIVERS[self._start.driver]
            settings = server_settings(self._start.application, schema, self._start.session)
            self._engines[schema] = create_engine(
                f"{driver.dialect}://",
                pool_size=1,
                max_overflow=0,
                hide_parameters=True,
                connect_args=driver.adapter().connect_arguments(self._start.address, settings),
            )
        return self._engines[schema]


def _tables(connection: Any) -> list[str]:
    """The names of the tables in the connection's schema, quoted and sorted."""
    from sqlalchemy import text

    names = connection.scalars(
        text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
    )
    return [connection.dialect.identifier_preparer.quote(name) for name in names]
