"""The query of the bare loops; it repeats that of scenarios/point_reads.py on purpose."""

from typing import Final

COLUMNS: Final = "id, external_id, name, birth_date, document, balance, updated_at"
QUERY: Final = f"SELECT {COLUMNS} FROM patients WHERE id = $1"  # noqa: S608 - constants
PYFORMAT: Final = f"SELECT {COLUMNS} FROM patients WHERE id = %s"  # noqa: S608
