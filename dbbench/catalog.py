"""Finding scenarios: from names and paths to scenario files, and from those to scenarios."""

import ast
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import IntEnum, StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from dbbench.errors import ScenarioError, UsageError, nearest, text_of
from dbbench.plan import Layer
from dbbench.scenario import LAYERS, App, Operation, Scenario, cannot_be
from dbbench.source import bindings, imported
from dbbench.twin import ASYNC_ONLY, load_module
from dbbench.units import MOST_SESSIONS
from dbbench.wording import not_text, storable

DEFAULT: Final = ("point_reads", "bulk_inserts", "concurrent_sessions")
NAMES: Final = ("PARAMS", "SESSIONS", *LAYERS, "request", "prepare", "reset", "rows")
_HERE: Final = Path(__file__).resolve().parent
_COPY: Final = "copy it into this file, the only one that dbbench makes a sync twin of"
_OF_A_PROJECT: Final = "install it, or name the folder that has it with --project DIR"
_RENAME: Final = "give it another name if it is not meant for dbbench"


def builtin_directory() -> Path:
    """The folder of the built-in scenarios: inside the package in a wheel, beside the package in a checkout."""
    inside = _HERE / "scenarios"
    return inside if inside.is_dir() else _HERE.parent / "scenarios"


def builtin() -> dict[str, Path]:
    """Built-in scenarios: name -> file."""
    return {path.stem: path for path in _scenario_files(builtin_directory())}


def find(names: Sequence[str]) -> list[Path]:
    """The scenario files that the names, files and directories on a command line stand for, each once, in that order.

    Raises UsageError, with the nearest name, for anything else.
    """
    known = builtin()
    paths: list[Path] = []
    for name in names or DEFAULT:
        path = Path(name)
        if name in known:
            paths.append(known[name])
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            files = _scenario_files(path)
            if not files:
                raise UsageError(f"{name}: no scenario (*.py) in this directory")
            paths.extend(files)
        elif os.path.isfile(path):  # noqa: PTH113
            paths.append(path)
        elif path.suffix == ".py" or "/" in name:
            raise UsageError(f"{name}: no such scenario file")
        else:
            raise UsageError(f"no scenario {name!r}", nearest(name, known))
    unique = list(dict.fromkeys(path.resolve() for path in paths))
    stems: dict[str, Path] = {}
    for path in unique:
        if path.stem in stems:
            raise UsageError(f"two scenarios are called {path.stem}: {stems[path.stem]} and {path}", "rename one")
        stems[path.stem] = path
    return unique


def shown_path(path: Path) -> str:
    """The path for messages and results: relative to the working directory; built-in ones as scenarios/...."""
    for base, prefix in ((builtin_directory(), "scenarios"), (Path.cwd(), "")):
        if path.is_relative_to(base):
            return str(prefix / path.relative_to(base))
    return path.name


def is_installed(file: str) -> bool:
    """Whether the file belongs to an installed package; the virtual environment may be inside the checkout."""
    return Path(file).is_relative_to(sys.prefix) or "site-packages" in Path(file).parts


def load(path: Path, *, sync: bool) -> Scenario:
    """Load the scenario in a file, or its sync twin.

    Raises ScenarioError, with file and line, when it cannot be loaded or is not a scenario.
    """
    shown = shown_path(path)
    directory = str(path.parent)
    if directory not in sys.path:
        sys.path.append(directory)  # a scenario may import its neighbours; last, so that it hides no installed package
    try:
        module = load_module(path, f"dbbench_scenario_{path.stem}", sync=sync, shown_as=shown, needed=NAMES)
    except ScenarioError:
        raise
    except SyntaxError as error:
        raise ScenarioError(f"{error.filename or shown}:{error.lineno or 1}: {error.msg}") from error
    except KeyboardInterrupt:  # the user's
        raise
    except BaseException as error:  # SystemExit, say, would end whoever loads it
        remedy = _OF_A_PROJECT if isinstance(error, ModuleNotFoundError) else ""
        raise ScenarioError(blame(error, shown), remedy) from error
    return _scenario(_Names(module, path, shown), path, sync=sync)


def blame(error: BaseException, shown: str) -> str:
    """`file:line: error` for the innermost line of the scenario that an exception passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
    where = f"{shown}:{frames[-1].lineno}" if frames else shown
    text = text_of(error).strip().partition("\n")[0]
    kind = storable(type(error).__name__)
    return f"{where}: {kind}: {text}" if text else f"{where}: {kind}"


def _scenario_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.py") if not path.name.startswith("_"))


class _Names:
    """The names of scenario.py that a file itself defines, or imports by name.

    What `from module import *` brings in does not count: `raw` or `rows` may mean anything there. Nor does a module,
    as in `from sqlalchemy import orm`.
    """

    def __init__(self, module: ModuleType, path: Path, shown: str) -> None:
        self.module = module
        self.shown = shown
        self.nodes = {name: node for name, node in bindings(ast.parse(path.read_bytes())) if name in NAMES}

    def get(self, name: str, default: Any = None) -> Any:
        """What the file calls so."""
        value = getattr(self.module, name, default) if name in self.nodes else default
        return default if isinstance(value, ModuleType) else value

    def error(self, name: str, problem: str, remedy: str = "") -> ScenarioError:
        """An error about a name, or an item of it, with its line."""
        node = self.nodes[name.partition("[")[0]]
        return ScenarioError(f"{self.shown}:{getattr(node, 'lineno', 1)}: {name} {problem}", remedy)

    def function(self, name: str, arguments: tuple[str, ...]) -> Callable[..., Any] | None:
        """The function of this name, None where there is none; checked that it takes the arguments."""
        function = self.get(name)
        if function is None:
            return None
        if not callable(function) or isinstance(function, type):
            raise self.error(name, f"must be a function with the arguments ({', '.join(arguments)})", _RENAME)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError:
            raise self.error(name, f"must take ({', '.join(arguments)})") from None
        return function  # type: ignore[no-any-return]

    def plain_function(self, name: str, arguments: tuple[str, ...]) -> Callable[..., Any] | None:
        """The same for a function that nobody awaits."""
        function = self.function(name, arguments)
        if function is not None and _is_async(function):
            raise self.error(name, "must be a plain `def`: nobody awaits it")
        if inspect.isgeneratorfunction(function):
            raise self.error(name, "must be without `yield`: nobody reads what it gives, so it would not run")
        return function

    def operation(self, layer: Layer, *, sync: bool) -> Operation | None:
        """The operation of a layer, None where there is none; checked that it can be awaited, and has a sync twin."""
        node = self.nodes.get(layer)
        operation = self.function(layer, ("session" if layer == "orm" else "connection", "params", "rng"))
        if operation is None:
            return None
        if isinstance(node, ast.Import | ast.ImportFrom):
            raise self.error(layer, f"is imported from {imported(node)[layer].rpartition('.')[0]}", _COPY)
        if sync and _is_async(operation):  # the twin of an `async def` in this file is none
            raise self.error(layer, "is made by an `async def` of another module", f"{_COPY}, or {ASYNC_ONLY}")
        awaited = isinstance(node, ast.AsyncFunctionDef) or sync or _is_async(operation)
        if isinstance(node, ast.FunctionDef) or not awaited:
            raise self.error(layer, "must be an `async def`", _RENAME)
        return operation

    def app(self) -> Operation | None:
        """The operation of the layer app, None where the file has no function of both names."""
        if not {"app", "request"} <= {name for name, node in self.nodes.items() if isinstance(node, ast.FunctionDef)}:
            return None  # an application of the file's own, say, which is called app
        make = self.plain_function("app", ("sessions", "params"))
        ask = self.plain_function("request", ("rng", "params"))
        assert make is not None
        assert ask is not None
        return App(make, ask)


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether this is an `async def`, as far as Python knows; also a partial of one, and an object called like one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _scenario(names: _Names, path: Path, *, sync: bool) -> Scenario:
    """Check the module against the rules of scenario.py."""
    defaults = names.get("PARAMS", {})
    if not isinstance(defaults, dict) or not all(isinstance(name, str) for name in defaults):
        raise names.error("PARAMS", "must be a dict of names and default values")
    for name, value in defaults.items():
        if fault := not_text(name):
            raise names.error("PARAMS", f"has a name that {fault}: {name!r}")
        if type(value) not in (bool, int, float, str) and not isinstance(value, IntEnum | StrEnum):
            raise names.error(f"PARAMS[{name!r}]", "must be a bool, int, float or str")
        if fault := cannot_be(value):
            raise names.error(f"PARAMS[{name!r}]", fault)
    sessions = names.get("SESSIONS", (1,))
    whole = isinstance(sessions, list | tuple) and all(isinstance(number, int) for number in sessions)
    if not whole or not sessions or not all(0 < number <= MOST_SESSIONS for number in sessions):
        most = f"at most {MOST_SESSIONS:,}"
        raise names.error("SESSIONS", f"must be a tuple of positive whole numbers, like (1, 15, 50), and {most}")
    found = {layer: names.app() if layer == "app" else names.operation(layer, sync=sync) for layer in LAYERS}
    operations = {layer: operation for layer, operation in found.items() if operation is not None}
    if not operations:
        starred = any(callable(getattr(names.module, layer, None)) for layer in LAYERS)
        raise ScenarioError(
            f"{names.shown}:1: no operation: define `async def orm(session, params, rng)`, `core` or `raw`, "
            "or `app` and `request`",
            "what `import *` brings in does not count" if starred else "",
        )
    return Scenario(
        name=path.stem,
        path=path,
        summary=(inspect.getdoc(names.module) or "").partition("\n")[0],
        defaults=defaults,
        sessions=list(sessions),
        operations=operations,
        prepare=names.plain_function("prepare", ("connection", "params")),
        reset=names.plain_function("reset", ("connection", "params")),
        rows=names.plain_function("rows", ("params",)),
    )


def line_of(function: Callable[..., Any]) -> int:
    """The line of its file in which a function begins; 1 where it has none."""
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code else 1
