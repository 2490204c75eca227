"""psycopg 3, sync: the sync twin of psycopg.py (see twin.py), so that the two differ in `async` alone."""

from pathlib import Path
from typing import Any, Final

from dbbench.twin import load_module

_TWIN: Final[Any] = load_module(Path(__file__).with_name("psycopg.py"), f"{__name__}_twin", sync=True)
connect_arguments = _TWIN.connect_arguments
facts = _TWIN.facts
open_pool = _TWIN.open_pool
bare = _TWIN.bare
BinaryCursor = _TWIN.BinaryCursor
