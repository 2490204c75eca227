"""What was written on the command line -> values; UsageError names the option and the way out."""

import importlib.util
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast, get_args

import msgspec

from dbbench import catalog, units
from dbbench.choices import Layer, Loop
from dbbench.commands.gate.result import Metric
from dbbench.drivers import DRIVERS
from dbbench.engine.options import Options
from dbbench.engine.planning import check_settings
from dbbench.errors import UsageError, nearest
from dbbench.plan import Connections, Load, Value

MAX_RTT_S: Final = 1.0  # there and back: a geostationary satellite needs half of it
_T = TypeVar("_T")


def read(option: str, text: str, grammar: Callable[[str], _T]) -> _T:
    """The value that a text means by a grammar of units.py."""
    try:
        return grammar(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None


def checked(options: Options) -> Options:
    """The options, if they go together; UsageError names two that do not."""
    connections, load, effort = options.connections, options.load, options.effort
    _check_poolers(options)
    if load.rate is not None and options.rtts:
        raise UsageError("--rate and --rtt exclude each other: latency is worked out from a closed loop")
    if load.rate is not None and load.think_s:
        raise UsageError("--rate and --think exclude each other: with a rate, arrivals decide when a session is busy")
    if effort.blocks is not None and effort.precision is not None:
        raise UsageError("--blocks and --precision exclude each other: a precision needs as many blocks as it takes")
    if options.on_disconnect == "reconnect" and options.address is None:
        raise UsageError("--on-disconnect reconnect needs --url: the embedded server does not come back")
    for name, each in [(f"{arm.name}: ", arm.connections) for arm in options.arms] or [("", connections)]:
        _check_connections(name, each, load)
    if options.drivers:  # a gate may choose them later
        check_settings(options)
    return options


def _check_poolers(options: Options) -> None:
    """UsageError for what does not go together with a pooler."""
    for option in ["--pooler"] * (options.pooler is not None) + ["--via"] * (options.via is not None):
        if options.rtts:
            raise UsageError(f"{option} and --rtt exclude each other: nothing stands between pooler and server")
        if options.connections.null_pool:
            raise UsageError(f"--null-pool and {option} exclude each other: {option} measures both pools")
        if options.arms:
            raise UsageError(f"{option} and --vary, --processes or --arm exclude each other: {option} measures its own")
    if options.via is not None and options.pooler is not None:
        raise UsageError("--via and --pooler exclude each other: --pooler starts one, --via goes through yours")
    if options.via is not None and options.address is None:
        raise UsageError("--via needs --url: where dbbench makes its tables, directly on the server")


def _check_connections(name: str, connections: Connections, load: Load) -> None:
    """UsageError where settings of connections exclude each other; `name` begins what is said."""
    if connections.null_pool and connections.checkout == "session":
        raise UsageError(f"{name}--null-pool and --checkout session exclude each other: held connections need no pool")
    most = connections.capacity
    if connections.checkout == "session" and max(load.sessions or [1]) > most:
        raise UsageError(
            f"{name}--checkout session holds a connection per session: --sessions can be at most {most} "
            "with this pool (--pool-size, --max-overflow)"
        )


def largest(connections: Connections, size: int, processes: int) -> Connections:
    """The connections with pools of this size in so many processes, which a search starts with."""
    pool = msgspec.structs.replace(connections.pool, size=size, max_overflow=0)
    return msgspec.structs.replace(connections, pool=pool, processes=processes)


def drivers(wanted: Sequence[str] | None) -> list[str]:
    """The drivers that are named, repeated or with commas, each once."""
    names = [name for each in wanted or [] for name in each.split(",") if name]
    return list(dict.fromkeys(map(known_driver, names)))


def known_driver(name: str) -> str:
    """The name of a driver; UsageError where there is none of that name."""
    if name not in DRIVERS:
        raise UsageError(f"no driver {name!r}; {nearest(name, DRIVERS)}")
    return name


def layers(wanted: Sequence[str] | None) -> list[Layer] | None:
    """The layers that are named, repeated or with commas, each once; None where none is."""
    if wanted is None:
        return None
    names = [name for each in wanted for name in each.split(",") if name]
    return list(dict.fromkeys(cast("Layer", _word("--layer", name, get_args(Layer))) for name in names))


def _word(option: str, text: str, words: Sequence[str]) -> str:
    if text not in words:
        raise UsageError(f"{option} {text}: {nearest(text, words)}")
    return text


def loop(name: Loop) -> Loop:
    """The event loop; UsageError when it is not installed."""
    if name == "uvloop" and importlib.util.find_spec("uvloop") is None:
        raise UsageError("--loop uvloop: uvloop is not installed; pip install 'dbbench[uvloop]'")
    return name


def numbers(option: str, text: str) -> list[int]:
    """Whole numbers of sessions, like 1,15,50."""
    try:
        numbers = [units.whole(part.strip(), 1, units.MOST_SESSIONS) for part in text.split(",")]
    except ValueError:
        most = f"{units.MOST_SESSIONS:,}"
        raise UsageError(f"{option} {text}: whole numbers from 1, like 1,15,50, and at most {most}") from None
    return list(dict.fromkeys(numbers))


def params(settings: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs."""
    params = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: write it as NAME=VALUE")
        if name in params:
            raise _twice("--set", name)
        params[name] = value
    return params


def _twice(option: str, name: str) -> UsageError:
    return UsageError(f"{option}: {name} is given twice, and a run takes one value of it", "leave one out")


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
            key = f"{scenario}.{_word('--tolerance', metric, get_args(Metric))}"
        if scenario and scenario not in names:
            raise UsageError(f"--tolerance {setting}: no scenario {scenario!r}; {nearest(scenario, names)}")
        if key in made:
            raise _twice("--tolerance", key)
        made[key] = read("--tolerance", value, units.share)
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


def driver_settings(settings: Sequence[str]) -> dict[str, dict[str, Value]]:
    """DRIVER.NAME=VALUE settings by driver: asyncpg.statement_cache_size=0."""
    made: dict[str, dict[str, Value]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        driver, dot, name = key.partition(".")
        if not equals or not dot:
            raise UsageError(f"--driver-set {setting}: write it as DRIVER.NAME=VALUE")
        if driver not in DRIVERS:
            raise UsageError(f"--driver-set {setting}: no driver {driver!r}; {nearest(driver, DRIVERS)}")
        known = DRIVERS[driver].settings
        if name not in known:
            raise UsageError(f"--driver-set {setting}: no setting {name!r} of {driver}", nearest(name, known))
        if name in made.setdefault(driver, {}):
            raise _twice("--driver-set", key)
        try:
            made[driver][name] = known[name].parse(text)
        except ValueError:
            remedy = f"--vary {setting} compares several" if "," in text else ""
            raise UsageError(f"--driver-set {setting}: {name} is {known[name].values}", remedy) from None
    return made


def rtts(text: str) -> list[float]:
    """Round-trip times in seconds, ascending, each once: 0,1ms,5ms."""
    parts = [part.strip() for part in text.split(",")]
    found = sorted({0.0 if part == "0" else read("--rtt", part, units.duration) for part in parts})
    if found[-1] > MAX_RTT_S:
        raise UsageError(f"--rtt {text}: at most {MAX_RTT_S:g} s")
    return found
