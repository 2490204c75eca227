"""Loading a module from its file as written, or as its sync twin: the same source without `async` and `await`.

One source for both keeps the comparison of sync and async drivers fair: the same statements in the same order. The twin
is made once, at load; line numbers stay, so tracebacks point at the real lines. What has another name in sync is in
counterparts.py.
"""

import ast
import sys
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from dbbench import counterparts
from dbbench.errors import ScenarioError
from dbbench.source import bindings, imported, is_main_guard, read_names

ASYNC_ONLY: Final = "measure async drivers only: --driver psycopg,asyncpg"
_ROOTS: Final = {name.partition(".")[0] for name in (*counterparts.NAMES, *counterparts.PREFIXED)}
_ATTRIBUTE: Final = "_dbbench_attribute"
_DEFINITIONS: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign,
)  # fmt: skip


def load_module(
    path: Path, name: str, *, sync: bool, shown_as: str = "", needed: Collection[str] | None = None
) -> ModuleType:
    """Run the file at `path` as a module called `name` and return the module.

    With `sync`, async constructs become their sync counterparts. `shown_as` is the file's name in tracebacks and
    messages (default: `path`). Raises whatever the file raises, SyntaxError included, and ScenarioError for what has no
    sync counterpart, if it is reached from one of the names in `needed` (default: from anywhere).
    """
    filename = shown_as or str(path)
    tree = ast.parse(path.read_bytes(), filename=filename)
    module = ModuleType(name)
    module.__file__ = str(path)
    if sync:
        tree = _twin(tree, filename, needed, module.__dict__)
    # Registered before it runs: annotations of mapped classes and dataclasses are resolved through sys.modules.
    sys.modules[name] = module
    exec(compile(tree, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - it is the user's own file
    return module


def _twin(tree: ast.Module, filename: str, needed: Collection[str] | None, names: dict[str, Any]) -> ast.Module:
    """The twin of a module's source; `names` gets what the twin uses besides."""
    reached = tree.body if needed is None else _reached(tree.body, needed)
    transformer = _Sync(tree, names)
    body = []
    for statement in tree.body:
        transformer.refused.clear()
        body.append(transformer.visit(statement))
        if transformer.refused and statement in reached:
            line, what = min(transformer.refused)
            raise ScenarioError(
                f"{filename}:{line}: {what} has no sync counterpart, so sync drivers cannot run this scenario",
                f"do without it, or {ASYNC_ONLY}",
            )
    tree.body = body
    return ast.fix_missing_locations(tree)


def _reached(body: list[ast.stmt], needed: Collection[str]) -> list[ast.stmt]:
    """The statements that run with the module, and those that define what these and `needed` use, and so on.

    A file may well have a main() of its own, with a call of asyncio.run().
    """
    defines = {statement: {name for name, _ in bindings(ast.Module([statement], []))} for statement in body}
    names = set(needed)
    left = [statement for statement in body if not is_main_guard(statement)]
    reached: list[ast.stmt] = []
    while found := [each for each in left if not isinstance(each, _DEFINITIONS) or defines[each] & names]:
        reached += found
        left = [each for each in left if each not in found]
        names |= set().union(*map(read_names, found))
    return reached


class _Sync(ast.NodeTransformer):
    """Removes `async` and `await`, and replaces what has another name in sync."""

    def __init__(self, tree: ast.Module, names: dict[str, Any]) -> None:
        self.refused: list[tuple[int, str]] = []  # line and name of what has no counterpart
        self._names = names
        self._own = {name for name, _ in bindings(tree)}
        self._imported = {name: what for node in ast.walk(tree) for name, what in _imported(node).items()}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name == "__await__":
            self.refused.append((node.lineno, node.name))
        node.name = counterparts.METHODS.get(node.name, node.name)
        returns, node.returns = node.returns, None  # annotations stay
        self.generic_visit(node)
        node.returns = returns
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(ast.copy_location(ast.FunctionDef(**dict(ast.iter_fields(node))), node))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        names = {name for name, _ in bindings(node)}
        twice = {sync for name, sync in counterparts.METHODS.items() if name in names}
        node.body = [each for each in node.body if getattr(each, "name", "") not in twice]
        self.generic_visit(node)
        return node

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
        return node.value

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node  # annotations stay

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        node.value = node.value and self.visit(node.value)
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node  # a pattern cannot be a call

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self._refuse_custom_session(node.arg, node)
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = counterparts.METHODS.get(node.id, node.id)
        if isinstance(node.ctx, ast.Load):
            builtin = "" if node.id in self._own else f"builtins.{node.id}"
            return self._replaced(self._imported.get(node.id, builtin), node)
        self._refuse_custom_session(node.id, node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        module = self._dotted(node.value)
        if module.partition(".")[0] in _ROOTS and counterparts.is_module(module):
            return self._replaced(f"{module}.{node.attr}", node)
        self.generic_visit(node)
        node.attr = counterparts.METHODS.get(node.attr, node.attr)
        if node.attr in counterparts.ATTRIBUTES and isinstance(node.ctx, ast.Load):
            self._names[_ATTRIBUTE] = counterparts.attribute
            call = ast.Call(ast.Name(_ATTRIBUTE, ast.Load()), [node.value, ast.Constant(node.attr)], [])
            return ast.copy_location(call, node)
        return node

    def _dotted(self, node: ast.expr) -> str:
        """What a chain of attributes stands for, "asyncio.tasks" say; empty where it begins with no imported name."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, "")
        begin = self._dotted(node.value) if isinstance(node, ast.Attribute) else ""
        return f"{begin}.{node.attr}" if isinstance(node, ast.Attribute) and begin else ""

    def _replaced(self, what: str, node: ast.Name | ast.Attribute) -> ast.AST:
        """The node, or another name in its place."""
        try:
            value = counterparts.counterpart(what)
        except LookupError as error:
            self.refused.append((node.lineno, str(error.args[0])))
            return node
        if value is None:
            return node
        name = f"_dbbench_{what.replace('.', '_')}"
        self._names[name] = value
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def _refuse_custom_session(self, name: str | None, node: ast.Name | ast.keyword) -> None:
        if name == "sync_session_class":
            self.refused.append((node.lineno, "a sync_session_class"))


def _imported(node: ast.AST) -> dict[str, str]:
    """What the names stand for that a statement imports; none where it imports nothing."""
    found = imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else {}
    module = found.pop("*", "").removesuffix(".*")
    if module.partition(".")[0] in _ROOTS:
        found |= {name: f"{module}.{name}" for name in vars(import_module(module)) if not name.startswith("_")}
    return found
