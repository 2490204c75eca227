"""What a Python file itself defines, read from its source."""

import ast
from collections.abc import Iterator
from typing import Final

_SCOPES: Final = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MAIN: Final = ("__name__ == '__main__'", "'__main__' == __name__")


def bindings(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that a module binds, each with its function, class, import or (an ast.Name) its assignment.

    Also those in `if`, `try`, `with` and loops. What `from module import *` brings in is not among them: the file does
    not name it.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name, child
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield from ((name, child) for name in imported(child) if name != "*")
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id, child
        elif not isinstance(child, _SCOPES):
            yield from bindings(child)


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The names that an import binds -> what they stand for, with its module: {"sleep": "asyncio.sleep"}."""
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {
        alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname else alias.name.partition(".")[0]
        for alias in node.names
    }


def is_main_guard(node: ast.AST) -> bool:
    """Whether this is `if __name__ == "__main__":`, whose block never runs in a scenario."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in _MAIN


def read_names(node: ast.AST) -> set[str]:
    """The names that code reads, at any depth."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
