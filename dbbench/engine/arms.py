"""The arms of a run: one for each driver, one for each combination of what varies, or those that have names.

A new thing that may vary is one row of `SETTINGS`; drivers' own settings are in drivers/settings.py.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, get_args

import msgspec

from dbbench import choices, units
from dbbench.choices import Compare, Layer
from dbbench.drivers import DRIVERS, PRESETS
from dbbench.drivers.settings import OFF, ON
from dbbench.errors import UsageError, nearest
from dbbench.plan import Arm, Connections, Pool
from dbbench.wording import listed

MAX_ARMS: Final = 24
PARAMETER: Final = "set."  # begins the name of a scenario's parameter
NULL: Final = "null"
NO_NULL_POOL: Final = "NullPool is SQLAlchemy's, of the layers core and orm: raw works with the drivers' own pools"
SCENARIO: Final = "scenario"  # what varies where scenarios are compared
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OF_SQLALCHEMY: Final[tuple[Layer, ...]] = ("orm", "core", "app")
_OF_OPERATIONS: Final[tuple[Layer, ...]] = ("orm", "core", "raw")  # an application opens and ends its own sessions


@dataclass(frozen=True)
class Setting:
    """A setting of connections that may vary."""

    values: str  # the possible ones, as messages describe them
    apply: Callable[[Connections, str], Connections]  # raises ValueError for another value
    layers: tuple[Layer, ...] = ("orm", "core", "raw", "app")  # those that it changes anything for
    threads: bool = True  # whether it concerns drivers in threads


@dataclass(frozen=True)
class Variation:
    """What varies, and its values as they were written."""

    name: str  # a name in SETTINGS, DRIVER.NAME, set.NAME, or SCENARIO
    values: tuple[str, ...]  # of SCENARIO: paths


@dataclass(frozen=True)
class Arms:
    """What is compared."""

    arms: list[Arm]
    baseline: str  # of the first group

    @property
    def drivers(self) -> list[str]:
        """The drivers, each once."""
        return list(dict.fromkeys(arm.driver for arm in self.arms))


# --- what may vary ---------------------------------------------------------------------------------------------------


def _pool(connections: Connections, text: str) -> Connections:
    if text == NULL:
        return msgspec.structs.replace(connections, null_pool=True, pre_ping=False)
    size, plus, overflow = text.partition("+")
    if not plus:
        raise ValueError(text)
    pool = Pool(units.whole(size, 1, units.MOST_SESSIONS), units.whole(overflow, 0, units.MOST_SESSIONS))
    return msgspec.structs.replace(
        connections, pool=msgspec.structs.replace(pool, timeout=connections.pool.timeout), null_pool=False
    )


def _pre_ping(connections: Connections, text: str) -> Connections:
    return msgspec.structs.replace(connections, pre_ping=_one_of(text, (OFF, ON)) == ON)


def _processes(connections: Connections, text: str) -> Connections:
    return msgspec.structs.replace(connections, processes=units.whole(text, 1, units.MOST_PROCESSES))


def _field(field: str, words: Sequence[str]) -> Callable[[Connections, str], Connections]:
    return lambda connections, text: msgspec.structs.replace(connections, **{field: _one_of(text, words)})


def _package(setting: Callable[[Connections, str], Connections], name: str, extra: str) -> Callable[..., Connections]:
    """The setting where one of its values needs a package of that name."""

    def apply(connections: Connections, text: str) -> Connections:
        made = setting(connections, text)
        if text == name and find_spec(name) is None:
            raise UsageError(f"{name} is not installed", f"pip install {extra}")
        return made

    return apply


def _one_of(text: str, words: Sequence[str]) -> str:
    if text not in words:
        raise ValueError(text)
    return text


def _words(
    field: str, words: Sequence[str], *, layers: tuple[Layer, ...] = Setting.layers, threads: bool = True
) -> Setting:
    return Setting(" or ".join(words), _field(field, words), layers, threads)


SETTINGS: Final[Mapping[str, Setting]] = {
    "pool": Setting("size and overflow, like 5+10, or null", _pool),
    "pool-pre-ping": Setting("off or on", _pre_ping, _OF_SQLALCHEMY),
    "processes": Setting(f"a number from 1 to {units.MOST_PROCESSES}", _processes),
    "tx-end": _words("tx_end", get_args(choices.TxEnd), layers=_OF_OPERATIONS),
    "checkout": _words("checkout", get_args(choices.Checkout), layers=_OF_OPERATIONS),
    "isolation": _words("isolation", get_args(choices.Isolation)),
    "loop": Setting(
        "asyncio or uvloop",
        _package(_field("loop", get_args(choices.Loop)), "uvloop", "'dbbench[uvloop]'"),
        threads=False,
    ),
    "json": Setting(
        "stdlib, orjson or msgspec",
        _package(_field("json", get_args(choices.JsonLibrary)), "orjson", "'dbbench[orjson]'"),
        _OF_SQLALCHEMY,
    ),
}


def known_names() -> list[str]:
    """Everything that may vary, by name; a scenario's parameters come as set.NAME."""
    return [*SETTINGS, *(f"{driver.name}.{name}" for driver in DRIVERS.values() for name in driver.settings)]


def _concerns(name: str, driver: str) -> bool:
    if name in SETTINGS:
        return SETTINGS[name].threads or DRIVERS[driver].is_async
    return name == SCENARIO or name.startswith(PARAMETER) or name.partition(".")[0] == driver


def _set(arm: Arm, name: str, text: str, option: str) -> Arm:
    """The arm with another value of one setting; UsageError where there is no such value."""
    if name.startswith(PARAMETER):
        return msgspec.structs.replace(arm, params={**arm.params, name.removeprefix(PARAMETER): text})
    if name == SCENARIO:
        return msgspec.structs.replace(arm, path=text)
    driver, _, of_driver = name.partition(".")
    values = SETTINGS[name].values if name in SETTINGS else DRIVERS[driver].settings[of_driver].values
    try:
        if name in SETTINGS:
            connections = SETTINGS[name].apply(arm.connections, text)
        else:
            settings = arm.connections.settings
            own = {**settings.get(driver, {}), of_driver: DRIVERS[driver].settings[of_driver].parse(text)}
            connections = msgspec.structs.replace(arm.connections, settings={**settings, driver: own})
    except UsageError as error:
        raise UsageError(f"{option} {name}={text}: {error.message}", error.remedy) from None
    except ValueError:
        raise UsageError(f"{option} {name}={text}: {name} is {values}", _meant(text, values)) from None
    return msgspec.structs.replace(arm, connections=connections)


def _meant(text: str, values: str) -> str:
    """The nearest of a few words, where that is what a setting takes."""
    words = values.replace(" or ", ", ").split(", ")
    return "" if any(" " in word for word in words) else nearest(text, words)


def _check_name(option: str, name: str, shown: str) -> None:
    """UsageError where nothing of this name can vary."""
    if name == "python":
        raise UsageError(
            f"{option} {shown}: interpreters have packages of their own, which a gate stores for both",
            "dbbench gate --base-python A --head-python B compares them",
        )
    if not (name in known_names() or (name.startswith(PARAMETER) and name != PARAMETER)):
        raise UsageError(f"{option} {shown}: there is no setting {name!r}", nearest(name, [*known_names(), "set.NAME"]))


# --- arms ------------------------------------------------------------------------------------------------------------


def plain(driver: str, connections: Connections) -> Arm:
    """A driver as an arm, with only its own settings."""
    own = {name: settings for name, settings in connections.settings.items() if name == driver}
    return Arm(driver, driver, msgspec.structs.replace(connections, settings=own))


def variation(text: str) -> Variation:
    """What --vary says: NAME=VALUE,VALUE...; UsageError where there is no such name."""
    name, equals, values = text.partition("=")
    if not equals or not name or not all(values.split(",")):
        raise UsageError(f"--vary {text}: write it as NAME=VALUE,VALUE, like pool-pre-ping=off,on")
    _check_name("--vary", name, text)
    return Variation(name, tuple(values.split(",")))


def varied(
    drivers: Sequence[str],
    connections: Connections,
    variations: Sequence[Variation],
    *,
    baseline: str = "",
    compare: Compare | None = None,
) -> Arms:
    """Every driver with every combination of what varies and concerns it, in the order in which it was written.

    `baseline` names the arm to compare with, or a driver, whose first arm that is; else it is the first. With `compare`
    "settings", the default where a driver has several arms, each driver's are compared among themselves: with the one
    that has the baseline's settings. What has one value alone is in no name: it varies no more than a plain option.
    Raises UsageError where a value is none, where a variation concerns none of the drivers, and for too many arms.
    """
    _check_variations(drivers, variations)
    groups: dict[str, list[Arm]] = {}
    for driver in drivers:
        own = [each for each in variations if _concerns(each.name, driver)]
        product = list(itertools.islice(itertools.product(*(each.values for each in own)), MAX_ARMS + 1))
        groups[driver] = [_combined(driver, connections, own, values) for values in product]
    arms = [arm for group in groups.values() for arm in group]
    _check_arms(arms, "--vary")
    chosen = _chosen(baseline, arms)
    several = any(len(group) > 1 for group in groups.values())
    if (compare or ("settings" if several else "all")) == "all":
        return Arms(arms, chosen.name)
    suffix = chosen.name.removeprefix(chosen.driver)
    made = []
    for group in groups.values():
        of_group = next((arm for arm in group if arm.name.removeprefix(arm.driver) == suffix), group[0])
        made += [msgspec.structs.replace(arm, baseline=of_group.name) for arm in group]
    return Arms(made, next(arm.baseline for arm in made if arm.name == chosen.name))


def _combined(driver: str, connections: Connections, own: Sequence[Variation], values: Sequence[str]) -> Arm:
    arm = plain(driver, connections)
    name = driver
    for each, value in zip(own, values, strict=True):
        arm = _set(arm, each.name, value, "--vary")
        shown = Path(value).stem if each.name == SCENARIO else value
        name += f"+{each.name.rpartition('.')[2]}={shown}" if len(each.values) > 1 else ""
    if arm.connections.null_pool and ("pool-pre-ping", ON) in zip((each.name for each in own), values, strict=True):
        raise UsageError(f"--vary: {name}: a NullPool keeps no connection that could be checked", "vary one at a time")
    return msgspec.structs.replace(arm, name=name)


def _chosen(baseline: str, arms: Sequence[Arm]) -> Arm:
    """The arm of this name, or the first of this driver; the very first where no name is given."""
    if not baseline:
        return arms[0]
    for arm in arms:
        if baseline in (arm.name, arm.driver):
            return arm
    names = [arm.name for arm in arms]
    raise UsageError(f"--baseline {baseline}: no arm of this run", nearest(baseline, names))


def is_setting(text: str) -> bool:
    """Whether a text is NAME=VALUE of something that may vary, and no requirement or revision."""
    name, equals, value = text.partition("=")
    return bool(equals) and not value.startswith("=") and name in known_names()


def with_settings(connections: Connections, settings: Sequence[str], option: str) -> Connections:
    """The connections with settings that are written as NAME=VALUE; UsageError, naming the option, for a wrong one."""
    arm = Arm("", "", connections)
    for text in settings:
        name, _, value = text.partition("=")
        arm = _set(arm, name, value, option)
    return arm.connections


def concerned(drivers: Sequence[str], settings: Sequence[Variation]) -> list[str]:
    """The drivers that any of the settings concerns."""
    return [driver for driver in drivers if any(_concerns(each.name, driver) for each in settings)]


def named(
    tables: Mapping[str, Mapping[str, str]], names: Sequence[str], connections: Connections, option: str = "--arm"
) -> Arms:
    """The arms of these names, the first of which is the baseline.

    `tables`: name -> its driver, under "driver", and its settings, as [tool.dbbench.arms] has them. Raises UsageError,
    naming the culprit, for a name that is not there and for a setting that is none.
    """
    arms = []
    for name in names:
        if name not in tables:
            there = nearest(name, tables) if tables else "none has been named there"
            raise UsageError(f"{option} {name}: pyproject.toml has no [tool.dbbench.arms.{name}]", there)
        arms.append(_of_table(name, tables[name], connections))
    _check_arms(arms, option)
    return Arms(arms, arms[0].name)


def _of_table(name: str, table: Mapping[str, str], connections: Connections) -> Arm:
    where = f"[tool.dbbench.arms.{name}]"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name has letters, digits, and . _ - between them")
    driver = table.get("driver", "")
    if driver not in DRIVERS:
        said = f"no driver {driver!r}" if driver else "it has no driver"
        raise UsageError(f"{where}: {said}", nearest(driver, DRIVERS))
    arm = plain(driver, connections)
    for setting, value in table.items():
        if setting == "driver":
            continue
        _check_name(where, setting, f"{setting} = {value}")
        if not _concerns(setting, driver):
            raise UsageError(f"{where}: {setting} does not concern {driver}")
        arm = _set(arm, setting, value, where)
    return msgspec.structs.replace(arm, name=name)


def _check_variations(drivers: Sequence[str], variations: Sequence[Variation]) -> None:
    names = [each.name for each in variations]
    for each in variations:
        if each.name.startswith(PARAMETER) and len(each.values) == 1:
            name = each.name.removeprefix(PARAMETER)
            raise UsageError(f"--vary {each.name}={each.values[0]} has one value", f"--set {name}={each.values[0]}")
        if names.count(each.name) > 1:
            raise UsageError(f"--vary {each.name} is given twice", f"--vary {each.name}=VALUE,VALUE has all values")
        if any(_concerns(each.name, driver) for driver in drivers):
            continue
        driver = each.name.partition(".")[0]
        if driver in DRIVERS:
            raise UsageError(f"--vary {each.name}: {driver} is not measured", f"--driver {driver} adds it")
        raise UsageError(
            f"--vary {each.name} is for async drivers", f"--preset async measures {listed(PRESETS['async'])}"
        )


def _check_arms(arms: Sequence[Arm], option: str) -> None:
    if len(arms) > MAX_ARMS:
        raise UsageError(f"{option}: more than {MAX_ARMS} arms", "name fewer drivers or fewer values")
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{option}: two arms are called {name}", "leave one out")


# --- what they can be measured with ----------------------------------------------------------------------------------


def check_reach(variations: Sequence[Variation], layers: Sequence[Layer]) -> None:
    """UsageError for what varies and changes nothing at any of the layers that are measured."""
    for each in variations:
        if each.name == SCENARIO or each.name.startswith(PARAMETER):
            continue
        driver, _, name = each.name.partition(".")
        if "raw" in layers and each.name == "pool" and NULL in each.values:
            raise UsageError(NO_NULL_POOL, "--layer core,orm measures those")
        reached = SETTINGS[each.name].layers if each.name in SETTINGS else DRIVERS[driver].settings[name].layers
        if layers and not set(reached) & set(layers):
            raise UsageError(
                f"--vary {each.name} changes nothing at the {' and '.join(sorted(layers))} layer",
                f"it is for --layer {','.join(reached)}",
            )
