"""What the shell may complete: drivers, layers, scenarios and their parameters, settings, formats, stored results.

The shell starts the program at every press of the key, so nothing here imports a driver or SQLAlchemy, and nothing
raises: where there is nothing to say, the shell completes names of files.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

import typer

from dbbench import choices
from dbbench.drivers import DRIVERS
from dbbench.reports import formats

Words = list[tuple[str, str]]  # what may stand there, and a word about it

_MOST: Final = 50  # results, the newest
_METRICS: Final = ("time", "cpu", "p95", "p99")


def drivers(incomplete: str) -> Words:
    """The name of a driver, or the last of several with commas."""
    return _last_of_list(incomplete, {name: driver.summary for name, driver in DRIVERS.items()})


def layers(incomplete: str) -> Words:
    """A layer, or the last of several with commas."""
    return _last_of_list(incomplete, dict.fromkeys(get_args(choices.Layer), ""))


def scenarios(incomplete: str) -> Words:
    """The built-in scenarios, and Python files where the path so far leads."""
    from dbbench import catalog

    found = {name: _summary(path) for name, path in catalog.builtin().items()}
    files = {str(path): "" for path in _files(incomplete, "*.py") if not path.name.startswith("_")}
    return _beginning(incomplete, {**found, **files})


def parameters(context: typer.Context, incomplete: str) -> Words:
    """NAME= of the parameters that the scenarios on the command line have, or else the built-in ones."""
    from dbbench import catalog

    known = catalog.builtin()
    words = [*(context.params.get("scenarios") or ()), *context.args]  # what is not read yet is among the arguments
    named = [path for word in words if (path := known.get(word, Path(word))).is_file()]
    names = dict.fromkeys(name for path in named or known.values() for name in _parameters(path))
    return _beginning(incomplete, {f"{name}=": "" for name in names})


def driver_settings(incomplete: str) -> Words:
    """DRIVER.NAME= of every setting."""
    return _beginning(
        incomplete,
        {
            f"{driver.name}.{name}=": str(setting.values)
            for driver in DRIVERS.values()
            for name, setting in driver.settings.items()
        },
    )


def variations(incomplete: str) -> Words:
    """NAME= of everything that may vary."""
    from dbbench.engine.arms import SETTINGS

    settings = {f"{name}=": setting.values for name, setting in SETTINGS.items()}
    return [*_beginning(incomplete, {**settings, "set.": "a parameter of the scenarios"}), *driver_settings(incomplete)]


def gate_reports(incomplete: str) -> Words:
    """FORMAT= of every report of a gate."""
    return _beginning(incomplete, {f"{name}=": "" for name in formats("gate")})


def tolerances(incomplete: str) -> Words:
    """METRIC=, or SCENARIO= and SCENARIO.METRIC= of the built-in ones."""
    from dbbench import catalog

    metrics = [f"{metric}=" for metric in _METRICS]
    of_scenarios = [f"{name}{rest}" for name in catalog.builtin() for rest in ("=", *(f".{each}" for each in metrics))]
    return _beginning(incomplete, dict.fromkeys([*metrics, *of_scenarios], ""))


def results(incomplete: str) -> Words:
    """The ids of the results in results/, the newest first; files where the path so far leads."""
    newest = sorted(_files("results/", "*.jsonl"), reverse=True)[:_MOST]
    ids = {path.stem.rpartition("-")[2]: path.name for path in newest}
    files = {str(path): "" for path in _files(incomplete, "*.jsonl")}
    return _beginning(incomplete, {**ids, **files})


def _beginning(incomplete: str, words: Mapping[str, str]) -> Words:
    return [(word, about) for word, about in words.items() if word.startswith(incomplete)]


def _last_of_list(incomplete: str, words: Mapping[str, str]) -> Words:
    """The last of several words with commas, none of them twice."""
    before, comma, last = incomplete.rpartition(",")
    left = {word: about for word, about in words.items() if word not in before.split(",")}
    return [(f"{before}{comma}{word}", about) for word, about in _beginning(last, left)]


def _files(incomplete: str, pattern: str) -> list[Path]:
    """The files of a kind in the folder that a path so far leads to."""
    folder = Path(incomplete.rpartition("/")[0]) if "/" in incomplete else Path()
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _summary(path: Path) -> str:
    """The first line of a scenario's docstring."""
    tree = _tree(path)
    return ((tree and ast.get_docstring(tree)) or "").partition("\n")[0]


def _parameters(path: Path) -> Iterator[str]:
    """The names in a scenario's PARAMS, which need not be imported for that."""
    tree = _tree(path)
    for node in tree.body if tree else ():
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="PARAMS")], value=ast.Dict(keys=keys))
                | ast.AnnAssign(target=ast.Name(id="PARAMS"), value=ast.Dict(keys=keys))
            ):
                yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))


def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
