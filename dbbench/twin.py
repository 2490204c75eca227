"""Loading a module from its file as written, or as its sync twin: the same source without `async` and `await`.

One source for both keeps the comparison of sync and async drivers fair: the same statements in the same order. The twin
is made once, at load; line numbers stay, so tracebacks point at the real lines.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from dbbench.errors import ScenarioError


def load_module(
    path: Path, name: str, *, sync: bool, shown_as: str = "", renames: Mapping[str, str] | None = None
) -> ModuleType:
    """Run the file at `path` as a module called `name` and return the module.

    With `sync`, async constructs become their sync counterparts and the names in `renames` are replaced first.
    `shown_as` is the file's name in tracebacks and messages (default: `path`).
    Raises whatever the file raises, SyntaxError included, and ScenarioError for anything without a sync counterpart.
    """
    filename = shown_as or str(path)
    tree = ast.parse(path.read_bytes(), filename=filename)
    if sync:
        tree = ast.fix_missing_locations(_Sync(filename, renames or {}).visit(tree))
    module = ModuleType(name)
    module.__file__ = str(path)
    # Registered before it runs: annotations of mapped classes and dataclasses are resolved through sys.modules.
    sys.modules[name] = module
    exec(compile(tree, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - it is the user's own file
    return module


class _Sync(ast.NodeTransformer):
    """Removes `async` and `await`."""

    def __init__(self, filename: str, renames: Mapping[str, str]) -> None:
        self._filename = filename
        self._renames = renames

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.FunctionDef(**dict(ast.iter_fields(node))), node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.With(**dict(ast.iter_fields(node))), node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.For(**dict(ast.iter_fields(node))), node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.is_async = 0
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="sleep")) as call:
                call.func = ast.parse("__import__('time').sleep", mode="eval").body
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=attribute)):
                raise ScenarioError(
                    f"{self._filename}:{node.lineno}: asyncio.{attribute} has no sync counterpart, "
                    "so sync drivers cannot run this scenario"
                )
        return node.value

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = self._renames.get(node.name, node.name)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._renames.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self._renames.get(node.attr, node.attr)
        return node
