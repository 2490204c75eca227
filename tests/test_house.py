"""The laws of the house: CONTRIBUTING.md draws its folders and their order, and the imports keep to it."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from conftest import REPOSITORY

PACKAGE: Final = REPOSITORY / "dbbench"
FOREIGN: Final = {"rich", "typer", "pyperf", "junitparser"}  # not in the environments that workers live in
HEAVY: Final = {"msgspec", "sqlalchemy", "asyncpg", "psycopg", "psycopg2", "pyperf", "junitparser"}
LONG_MODULES: Final[dict[str, int]] = {}
LONG_FUNCTIONS: Final[dict[str, int]] = {}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path, *, lazy: bool) -> frozenset[str]:
    """The modules that the file names in its imports; with `lazy`, also those within functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {name_of(each) for each in modules()}
    found: set[str] = set()
    for node in _statements(tree, lazy=lazy):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return frozenset(found)


def _statements(tree: ast.AST, *, lazy: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _statements(node, lazy=lazy)


def order() -> dict[str, int]:
    """The line of arrows in CONTRIBUTING.md: folder or module -> its place, 0 at the top."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^`(cli -> .*)`$", text, re.MULTILINE)
    return {name: place for place, names in enumerate(line.split(" -> ")) for name in names.split(", ")}


def named(module: str) -> int | None:
    """Where a module stands on the line; None for what everybody uses, which it does not name."""
    return order().get(f"{module}.".split(".")[1])


def goes_up(module: str, imported: str) -> bool:
    """Whether an import runs up the line; what everybody uses stands at its end, and sees no more than records."""
    if (to := named(imported)) is None:
        return False
    begin = named(module)
    return to < (order()["records"] if begin is None else begin)


def test_no_folder_imports_one_above_it() -> None:
    up = [
        f"{name_of(path)} imports {imported}"
        for path in modules()
        for imported in imports(path, lazy=True)
        if imported.startswith("dbbench.") and name_of(path) != "dbbench.__main__"
        if goes_up(name_of(path), imported)
    ]

    assert up == []


def test_the_line_names_every_folder() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert folders <= set(order())


def test_imports_make_no_circle() -> None:
    graph = {name_of(path): imports(path, lazy=False) for path in modules()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for imported in sorted(graph.get(module, ())):
                visit(imported, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("folder", ["worker", "drivers"])
def test_workers_live_without_packages_of_the_command_line(folder: str) -> None:
    """They run in environments that have drivers, SQLAlchemy and msgspec, and nothing else that is sure."""
    for module in closure([name_of(path) for path in (PACKAGE / folder).rglob("*.py")]):
        assert module.split(".")[0] not in FOREIGN, module


def closure(begin: list[str]) -> set[str]:
    """The modules, and what they import, and what that imports: all that is loaded with them."""
    found: set[str] = set()
    files = {name_of(path): path for path in modules()}
    left = list(begin)
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += imports(files[module], lazy=module.startswith("dbbench.worker")) if module in files else ()
    return found


def test_statistics_import_nothing_of_dbbench() -> None:
    for path in (PACKAGE / "stats").glob("*.py"):
        ours = [name for name in imports(path, lazy=True) if name.startswith("dbbench")]
        assert all(name.startswith("dbbench.stats") for name in ours), path


def test_what_is_started_by_path_needs_the_standard_library_alone() -> None:
    supervisors, inventory = PACKAGE / "server" / "supervisors", PACKAGE / "commands" / "gate" / "inventory.py"
    own = ("dbbench.server.supervisors", "dbbench.folders")
    spinner = PACKAGE / "engine" / "spinner.py"
    for path in [*supervisors.glob("*.py"), inventory, spinner, PACKAGE / "folders.py"]:
        for name in imports(path, lazy=True):
            assert name.split(".")[0] in sys.stdlib_module_names or name.startswith(own), name


def test_help_needs_nothing_heavy() -> None:
    loaded = {name.split(".")[0] for name in closure(["dbbench.cli.app"])}

    assert not loaded & HEAVY


def test_help_can_name_the_drivers_of_the_table() -> None:
    assert not {name.split(".")[0] for name in closure(["dbbench.drivers"])} & HEAVY


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}

    assert {name: length for name, length in lengths.items() if length > LONG_MODULES.get(name, 400)} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {
        f"{name_of(path)}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: length for name, length in lengths.items() if length > LONG_FUNCTIONS.get(name, 60)} == {}
