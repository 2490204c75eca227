"""What was written on the command line -> values; UsageError names the option and the way out."""

import importlib.util
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from dbbench import catalog
from dbbench.address import Address
from dbbench.commands.gate.result import Metric
from dbbench.drivers import DEFAULT, DRIVERS
from dbbench.errors import UsageError, nearest
from dbbench.plan import Loop, Value
from dbbench.server.target import parse_url

MAX_RTT_S: Final = 1.0  # there and back: a geostationary satellite needs half of it


def drivers(wanted: Sequence[str] | None, baseline: str) -> tuple[list[str], str]:
    """The drivers to measure, the baseline among them and first."""
    names = [name for each in wanted or DEFAULT for name in each.split(",") if name]
    for name in (*names, baseline):
        if name not in DRIVERS:
            raise UsageError(f"no driver {name!r}; {nearest(name, DRIVERS)}")
    return list(dict.fromkeys([baseline, *names])), baseline


def address(url: str | None, *, env_url: bool) -> Address | None:
    """The server that is meant, None for the embedded one."""
    if env_url:
        if url is not None:
            raise UsageError("--url and --env-url exclude each other")
        if not os.environ.get("DATABASE_URL"):
            raise UsageError("--env-url: DATABASE_URL is not set")
        return parse_url(os.environ["DATABASE_URL"], "DATABASE_URL")
    return None if url is None else parse_url(url, "--url")


def choice(option: str, value: str, choices: Any) -> Any:
    """One of the values of a Literal; UsageError with what there is."""
    if value not in get_args(choices):
        raise UsageError(f"{option} {value}: {nearest(value, get_args(choices))}")
    return value


def choices(option: str, values: Sequence[str], choices: Any) -> list[Any]:
    """Several values of a Literal, repeated or with commas, each once."""
    names = [name for value in values for name in value.split(",") if name]
    return list(dict.fromkeys(choice(option, name, choices) for name in names))


def loop(name: str) -> Any:
    """The event loop; UsageError when it is not installed."""
    if choice("--loop", name, Loop) == "uvloop" and importlib.util.find_spec("uvloop") is None:
        raise UsageError("--loop uvloop: uvloop is not installed; pip install 'dbbench[uvloop]'")
    return name


def numbers(option: str, text: str) -> list[int]:
    """Positive whole numbers, like 1,15,50."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UsageError(f"{option} {text}: whole numbers from 1, like 1,15,50")
    return list(dict.fromkeys(numbers))


def params(settings: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs."""
    params = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: write it as NAME=VALUE")
        params[name] = value
    return params


def tolerances(settings: Sequence[str], scenarios: Collection[str]) -> dict[str, float]:
    """Tolerances of a gate by METRIC or SCENARIO.METRIC: 5%, cpu=8%, bulk_inserts=10% or bulk_inserts.cpu=12%.

    `scenarios` are those that are measured; the built-in ones may be named as well, as pyproject.toml does.
    """
    made = {}
    names = [*scenarios, *(name for name in catalog.builtin() if name not in scenarios)]
    for setting in settings:
        name, equals, value = setting.rpartition("=")
        scenario, dot, metric = name.rpartition(".")
        if not equals:
            key = "time"
        elif not dot:
            key = name if name in get_args(Metric) else f"{name}.time"
            scenario = "" if name in get_args(Metric) else name
        else:
            key = f"{scenario}.{choice('--tolerance', metric, Metric)}"
        if scenario and scenario not in names:
            raise UsageError(f"--tolerance {setting}: no scenario {scenario!r}; {nearest(scenario, names)}")
        made[key] = share("--tolerance", value)
    return made


def reports(settings: Sequence[str], formats: Collection[str]) -> list[tuple[str, Path]]:
    """FORMAT=FILE pairs."""
    made = []
    for setting in settings:
        format_, equals, name = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--report {setting}: write it as FORMAT=FILE, like junit=gate.xml")
        if format_ not in formats:
            raise UsageError(f"--report {setting}: {nearest(format_, formats)}")
        made.append((format_, Path(name)))
    return made


def driver_settings(settings: Sequence[str], measured: Collection[str]) -> dict[str, dict[str, Value]]:
    """DRIVER.NAME=VALUE settings of the drivers that are measured, by driver: asyncpg.statement_cache_size=0."""
    made: dict[str, dict[str, Value]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        driver, dot, name = key.partition(".")
        if not equals or not dot:
            raise UsageError(f"--driver-set {setting}: write it as DRIVER.NAME=VALUE")
        if driver not in DRIVERS:
            raise UsageError(f"--driver-set {setting}: no driver {driver!r}; {nearest(driver, DRIVERS)}")
        if driver not in measured:
            raise UsageError(f"--driver-set {setting}: {driver} is not measured; --driver {driver} adds it")
        known = DRIVERS[driver].settings
        if name not in known:
            way_out = nearest(name, known) if known else f"{driver} has none"
            raise UsageError(f"--driver-set {setting}: no setting {name!r} of {driver}; {way_out}")
        try:
            made.setdefault(driver, {})[name] = known[name].parse(text)
        except ValueError:
            raise UsageError(f"--driver-set {setting}: {name} is {known[name].values}") from None
    return made


def rtts(text: str) -> list[float]:
    """Round-trip times in seconds, ascending, each once: 0,1ms,5ms."""
    found = sorted({0.0 if part.strip() == "0" else duration("--rtt", part.strip()) for part in text.split(",")})
    if found[-1] > MAX_RTT_S:
        raise UsageError(f"--rtt {text}: at most {MAX_RTT_S:g} s")
    return found


def seconds(option: str, text: str) -> float:
    """Seconds: 90, 90s or 2m."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)?", text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{option} {text}: seconds, like 90, 90s or 2m")
    return float(match[1]) * (60 if match[2] == "m" else 1)


def duration(option: str, text: str) -> float:
    """A short time in seconds, 0 or more; its unit must be given: 20ms, 500us, 1.5s."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(us|ms|s)", text)
    if match is None:
        raise UsageError(f"{option} {text}: a time with its unit, like 20ms, 500us or 1.5s")
    return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]]


def share(option: str, text: str) -> float:
    """A share between 0 and 1, like 2% or 0.02."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%)?", text)
    value = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 < value < 1:
        raise UsageError(f"{option} {text}: a share, like 2% or 0.02")
    return value
