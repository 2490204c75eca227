"""Finding scenarios: from names and paths to scenario files, and from those to scenarios."""

import ast
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from dbbench.errors import ScenarioError, UsageError, nearest
from dbbench.plan import Layer
from dbbench.scenario import LAYERS, Operation, Scenario
from dbbench.twin import load_module

DEFAULT: Final = ("point_reads", "bulk_inserts", "concurrent_sessions")
_HERE: Final = Path(__file__).resolve().parent


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
        elif path.is_dir():
            files = _scenario_files(path)
            if not files:
                raise UsageError(f"{name}: no scenario (*.py) in this directory")
            paths.extend(files)
        elif path.is_file():
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


def load(path: Path, *, sync: bool) -> Scenario:
    """Load the scenario in a file, or its sync twin.

    Raises ScenarioError, with file and line, when it cannot be loaded or is not a scenario.
    """
    shown = shown_path(path)
    directory = str(path.parent)
    if directory not in sys.path:
        sys.path.append(directory)  # a scenario may import its neighbours; last, so that it hides no installed package
    try:
        module = load_module(path, f"dbbench_scenario_{path.stem}", sync=sync, shown_as=shown)
    except ScenarioError:
        raise
    except SyntaxError as error:
        raise ScenarioError(f"{error.filename or shown}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        raise ScenarioError(blame(error, shown)) from error
    return _scenario(module, path, shown)


def blame(error: BaseException, shown: str) -> str:
    """`file:line: error` for the innermost line of the scenario that an exception passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
    where = f"{shown}:{frames[-1].lineno}" if frames else shown
    # SQLAlchemy wraps the driver's error and adds the statement and a link to its own documentation.
    text = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return f"{where}: {type(error).__name__}: {text}" if text else f"{where}: {type(error).__name__}"


def _scenario_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.py") if not path.name.startswith("_"))


def _scenario(module: ModuleType, path: Path, shown: str) -> Scenario:
    """Check the module against the rules of scenario.py."""
    defaults = getattr(module, "PARAMS", {})
    if not isinstance(defaults, dict) or not all(isinstance(name, str) for name in defaults):
        raise ScenarioError(f"{shown}: PARAMS must be a dict of names and default values")
    for name, value in defaults.items():
        if not isinstance(value, bool | int | float | str):
            raise ScenarioError(f"{shown}: PARAMS[{name!r}] must be a bool, int, float or str")
    sessions = getattr(module, "SESSIONS", (1,))
    if not sessions or not all(isinstance(number, int) and number > 0 for number in sessions):
        raise ScenarioError(f"{shown}: SESSIONS must be a tuple of positive whole numbers, like (1, 15, 50)")
    coroutines = _async_functions(path)
    operations: dict[Layer, Operation] = {}
    for layer in LAYERS:
        operation = _function(module, layer, ("session" if layer == "orm" else "connection", "params", "rng"), shown)
        if operation is not None:
            if layer not in coroutines:
                raise ScenarioError(f"{shown}:{_line(operation)}: {layer} must be an `async def`")
            operations[layer] = operation
    if not operations:
        raise ScenarioError(f"{shown}:1: no operation: define `async def orm(session, params, rng)`, `core` or `raw`")
    return Scenario(
        name=path.stem,
        path=path,
        summary=(inspect.getdoc(module) or "").partition("\n")[0],
        defaults=defaults,
        sessions=list(sessions),
        operations=operations,
        prepare=_function(module, "prepare", ("connection", "params"), shown),
        reset=_function(module, "reset", ("connection", "params"), shown),
        rows=_function(module, "rows", ("params",), shown),
    )


def _function(module: ModuleType, name: str, arguments: tuple[str, ...], shown: str) -> Callable[..., Any] | None:
    function = getattr(module, name, None)
    if function is None:
        return None
    if not callable(function):
        raise ScenarioError(f"{shown}: {name} must be a function")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        raise ScenarioError(f"{shown}:{_line(function)}: {name} must take ({', '.join(arguments)})") from None
    return function  # type: ignore[no-any-return]


def _line(function: Callable[..., Any]) -> int:
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code else 1


def _async_functions(path: Path) -> set[str]:
    """Names of the functions that are `async def` in the source; in a sync twin they no longer are."""
    tree = ast.parse(path.read_bytes())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
