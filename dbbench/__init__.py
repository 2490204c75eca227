"""dbbench: which PostgreSQL driver is faster for your queries, by how much, and how certain that is."""

from typing import Final

__version__: Final = "0.1.0"
