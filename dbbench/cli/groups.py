"""Parameters of commands that Typer does not know: groups of options, and words of which there are a few.

A command's function may have a parameter `load: Annotated["Load", Group(load)]`. Typer is shown the parameters of the
function `load` in its place, and the command gets what `load` makes of their values. A parameter whose type is a
Literal, or that has OneOf, is an enumeration for Typer, which then checks, completes and shows the words (it knows
Literals since 0.19 only); the command gets the word.
"""

import copy
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from dbbench.errors import UsageError
from dbbench.wording import not_text

_T = TypeVar("_T")


@dataclass(frozen=True)
class Group:
    """Options that several commands have, declared once: as the parameters of `build`."""

    build: Callable[..., Any]
    without: Collection[str] = ()  # parameters that mean nothing for this command: `build` gets its own defaults
    defaults: Mapping[str, object] = field(default_factory=dict)  # other ones for this command
    help: Mapping[str, str] = field(default_factory=dict)  # where those must be told

    def parameters(self) -> dict[str, Parameter]:
        """Those of the command line."""
        return {
            name: self._changed(parameter)
            for name, parameter in signature(self.build).parameters.items()
            if name not in self.without
        }

    def _changed(self, parameter: Parameter) -> Parameter:
        name = parameter.name
        annotation, default = parameter.annotation, self.defaults.get(name, parameter.default)
        if name in self.help:
            kind, option = get_args(annotation)
            option = copy.copy(option)
            option.help = self.help[name]
            annotation = Annotated[kind, option]
        return parameter.replace(annotation=annotation, default=default)


@dataclass(frozen=True)
class OneOf:
    """Words of which a parameter takes one, where they are not known to the type checker: names of formats."""

    words: tuple[str, ...]


def expanded(function: Callable[..., _T]) -> Callable[..., _T]:
    """The function as Typer sees it: without groups, and with enumerations for words."""
    groups: dict[str, Group] = {}
    shown: dict[str, Parameter] = {}
    for name, parameter in signature(function).parameters.items():
        group = next((each for each in get_args(parameter.annotation) if isinstance(each, Group)), None)
        if group is not None:
            groups[name] = group
        for each in [parameter] if group is None else group.parameters().values():
            if shown.setdefault(each.name, each).annotation is not each.annotation:
                raise TypeError(f"{function.__name__}: two parameters are called {each.name}")

    def call(**given: object) -> _T:
        for name, value in given.items():
            _check(name, value)
        values = {name: value.value if isinstance(value, _Word) else value for name, value in given.items()}
        built = {
            name: group.build(**{each: values[each] for each in group.parameters()}) for name, group in groups.items()
        }
        own = {name: values[name] for name in signature(function).parameters if name not in groups}
        return function(**own, **built)

    call.__name__, call.__doc__, call.__module__ = function.__name__, function.__doc__, function.__module__
    cast("Any", call).__signature__ = Signature(
        [_for_typer(each).replace(kind=Parameter.KEYWORD_ONLY) for each in shown.values()]
    )
    call.__annotations__ = {}  # those of the signature count
    return call


def _check(name: str, value: object) -> None:
    """Refuse what no parameter may be; raises UsageError.

    Typer's ranges let nan pass, which is neither below nor above anything. A text that is no UTF-8 cannot be stored or
    printed, and no file can have a NUL in its name.
    """
    option = f"--{name.rstrip('_').replace('_', '-')}"
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, float) and not math.isfinite(one):
            raise UsageError(f"{option} {one}: a finite number")
        if isinstance(one, str | Path) and (fault := not_text(str(one))):
            raise UsageError(f"{option}, or the argument of this name, {fault}")


def words(function: Callable[..., Any], parameter: str) -> tuple[str, ...]:
    """The words of which a parameter of an expanded function takes one; none where it takes any."""
    kind = (*get_args(signature(function).parameters[parameter].annotation), None)[0]
    enums = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, _Word)]
    return tuple(word.value for enum in enums for word in enum)


class _Word(StrEnum):
    """The base of all enumerations that are made for Typer."""


def _for_typer(parameter: Parameter) -> Parameter:
    """The parameter, an enumeration where it has words."""
    kind, *metadata = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else [None]
    words = next((each.words for each in metadata if isinstance(each, OneOf)), _literals(kind))
    if not words:
        return parameter
    enum = _enum(words)
    optional = NoneType in get_args(kind)
    default = parameter.default if parameter.default in (None, Parameter.empty) else enum(parameter.default)
    others = [each for each in metadata if not isinstance(each, OneOf)]
    return parameter.replace(annotation=Annotated[enum | None if optional else enum, *others], default=default)


@cache
def _enum(words: tuple[str, ...]) -> Any:
    return cast("Any", _Word)("Word", [(word, word) for word in words])


def _literals(kind: Any) -> tuple[str, ...]:
    """The words of a Literal, also of an optional one."""
    literal = next((each for each in (kind, *get_args(kind)) if get_origin(each) is Literal), None)
    return cast("tuple[str, ...]", get_args(literal))
