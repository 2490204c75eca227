"""The user's project: the folders that scenarios import its modules from."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dbbench.errors import UsageError

# What is measured, or measures, is always what is installed.
_INSTALLED: Final = (
    "dbbench", "msgspec", "sqlalchemy", "greenlet", "uvloop",
    "asyncpg", "psycopg", "psycopg_binary", "psycopg_c", "psycopg_pool", "psycopg2",
)  # fmt: skip


def pyproject_of(folder: Path) -> Path | None:
    """The nearest pyproject.toml, in the folder or above it."""
    return next((path for each in (folder, *folder.parents) if (path := each / "pyproject.toml").is_file()), None)


def module_folders(project: Path) -> list[Path]:
    """The folders of a project's own modules: itself, and `src`. They are searched before installed packages."""
    return [folder for folder in (project, project / "src") if folder.is_dir()]


def search_path(project: Path | None, scenarios: Iterable[Path]) -> list[str]:
    """The folders that scenarios import from: of `project`, or else of the projects that their files belong to.

    Raises UsageError where the project would hide an installed package that is measured. A scenario may well lie in the
    repository of a driver: that is then no project of its.
    """
    from dbbench.catalog import builtin

    if project is None:
        own = set(scenarios).difference(builtin().values())
        found = {path.parent for path in map(pyproject_of, own) if path is not None}
        projects = [each for each in sorted(found) if not _hidden(each)]
    else:
        if not os.path.isdir(project):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            raise UsageError(f"--project {project}: there is no such folder")
        if hidden := _hidden(project):
            raise UsageError(
                f"--project {project}: its own {hidden} would hide the installed one, which is what dbbench measures",
                "name another folder",
            )
        projects = [project.resolve()]
    return [str(folder) for each in projects for folder in module_folders(each)]


def _hidden(project: Path) -> str:
    """The name of an installed package that modules of the project would hide; empty: of none."""
    names = ((folder, name) for folder in module_folders(project) for name in _INSTALLED)
    return next((name for folder, name in names if _has_module(folder, name)), "")


def _has_module(folder: Path, name: str) -> bool:
    return (folder / name / "__init__.py").is_file() or (folder / f"{name}.py").is_file()
