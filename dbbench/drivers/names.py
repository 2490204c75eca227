"""Names of tables and columns, which every driver takes as they are in the catalog: capitals and blanks count."""

from collections.abc import Sequence


def schema_and_table(name: str) -> tuple[str | None, str]:
    """The parts of `table` or `schema.table`; None: the table is found by the search path."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else (None, name)


def copy_statement(table: str, columns: Sequence[str]) -> str:
    """COPY from the client, in text format; without columns, into all of them."""
    names = f" ({', '.join(map(quoted, columns))})" if columns else ""
    return f"COPY {'.'.join(quoted(part) for part in schema_and_table(table) if part is not None)}{names} FROM STDIN"


def quoted(name: str) -> str:
    """The name as SQL has it where it must not be folded or read as a keyword."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
