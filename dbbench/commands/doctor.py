"""Whether `dbbench run` would work here, and how well: what is installed, which server there is, what is missing.

Every check is a generator of `Check`s. None raises: what goes wrong is a Check, too, with the way out. Heavy imports
are made by the check that needs them, so that it can report one that fails.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dbbench import __version__
from dbbench.address import Address
from dbbench.child import libpq_variables
from dbbench.commands.check import Check, Status
from dbbench.commands.pooler_advice import of_pooler
from dbbench.commands.selfcheck import kept
from dbbench.drivers import DEFAULT, DRIVERS, Driver
from dbbench.engine import busy, idle, placement
from dbbench.engine.exclusive import MARK
from dbbench.engine.machine import installed
from dbbench.errors import CannotStartError, DbbenchError, RefusedError
from dbbench.plan import Placement, Pool
from dbbench.result_file import new_id
from dbbench.server.passwords import redacted
from dbbench.server.pooler_detection import detect, guess
from dbbench.server.target import Target, chosen_address, connected
from dbbench.wording import count

PROGRAM_LIMIT_S: Final = 20.0  # for `postgres --version`
BUSY: Final = 0.5  # load average per CPU from which others are in the way, where nothing better is known
CONNECTIONS: Final = len(DEFAULT) * Pool().capacity + 4  # of a default run: the workers', the tables', the parent's
SETTINGS: Final = ("shared_buffers", "synchronous_commit", "fsync", "jit", "autovacuum")
_NOISY: Final = ("jit", "autovacuum")  # settings that make times jump while they are on
_PACKAGES: Final = ("sqlalchemy", "greenlet", "pyperf")
_FACTS: Final = ("implementation", "libpq")  # of what a driver says of itself
_RUN_MARK: Final = f"@{MARK}"  # how the kernel lists it


def ready(checks: Iterable[Check]) -> bool:
    """Tell whether everything is there that `dbbench run` needs."""
    return all(check.status in ("ok", "note") for check in checks)


def examine(url: str | None = None, *, env_url: bool = False) -> list[Check]:
    """Look at everything: this machine, and the user's server, or the embedded one, which is started for a moment.

    Raises UsageError when the URL is not one; everything else that goes wrong is a Check.
    """
    for name in libpq_variables():  # as for a run
        del os.environ[name]
    own = url is not None or env_url
    address, unreadable = _address(url, env_url=env_url)
    place = placement.choose(None, embedded=not own, local=address is None or address.is_local)
    checks = [
        *_safely("Python", _python),
        *_safely("packages", _packages),
        *(check for driver in DRIVERS.values() for check in _safely(driver.name, partial(_driver, driver))),
        *_safely("CPUs", partial(_cpus, place)),
        *([] if own else _safely("idle CPUs", _idle)),
        *_safely("load", _load),
        *_safely("other runs", _other_runs),
        *_safely("selfcheck", _selfcheck),
        *_safely("results", _results),
        *_safely("PostgreSQL", partial(_embedded, place, start=not own)),
        *unreadable,
    ]
    if address is not None:
        checks += [_without(address.password, check) for check in _safely("server", partial(_server, address))]
    return checks


def _address(url: str | None, *, env_url: bool) -> tuple[Address | None, list[Check]]:
    try:
        return chosen_address(url, env_url=env_url), []
    except ImportError as error:
        return None, [Check("server", "problem", f"not tried: its URL cannot be read: {error}", _install("sqlalchemy"))]


def _safely(name: str, check: Callable[[], Iterable[Check]]) -> list[Check]:
    """Make all checks that come, and one more of what is raised."""
    made = []
    try:
        for each in check():
            made.append(each)  # noqa: PERF402 - those before an exception are kept
    except Exception as error:
        detail = f"cannot be checked: {type(error).__name__}: {_line(error)}"
        made.append(Check(name, "problem", detail, "where the message does not help, please report it"))
    return made


def _line(error: object) -> str:
    return " ".join(str(error).split())


def _without(password: str, check: Check) -> Check:
    return replace(check, detail=redacted(check.detail, password), remedy=redacted(check.remedy, password))


# --- what is installed -----------------------------------------------------------------------------------------------


def _python() -> Iterator[Check]:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    if hasattr(sys, "gettotalrefcount"):
        yield Check("Python", "note", f"{version}, a debug build", "measure with a normal build: this one is slow")
    else:
        yield Check("Python", "ok", version)
    yield Check("dbbench", "ok", __version__)


def _packages() -> Iterator[Check]:
    for name in _PACKAGES:
        version = installed(name)
        if version is None:
            yield Check(name, "missing", "not installed", _install(name))
        elif importlib.util.find_spec(name) is None:
            yield Check(name, "problem", f"{version}, but Python does not find it", _install(name))
        else:
            yield Check(name, "ok", version)
    if (version := installed("uvloop")) is not None:
        yield Check("uvloop", "ok", version)
    else:
        yield Check("uvloop", "note", "not installed; only --loop uvloop needs it", "pip install 'dbbench[uvloop]'")


def _driver(driver: Driver) -> Iterator[Check]:
    """One driver: installed, and can be imported; only those that a run measures by default must be."""
    needed = driver.name in DEFAULT
    versions = [(name, version) for name in driver.distributions if (version := installed(name)) is not None]
    remedy = _install(driver.requirement)
    if not versions:
        yield Check(driver.name, "missing" if needed else "note", "not installed", remedy)
        return
    try:
        facts = driver.adapter().facts()
    except Exception as error:  # of a broken installation: no libpq, no pool, another architecture
        detail = f"{versions[0][1]}, cannot be imported: {_line(error)}"
        yield Check(driver.name, "problem" if needed else "note", detail, remedy)
        return
    (_, version), *others = versions
    parts = [version, *(f"{name} {facts[name]}" for name in _FACTS if name in facts)]
    detail = ", ".join([*parts, *(f"{name} {other}" for name, other in others)])
    if facts.get("implementation") == "python":
        yield Check(driver.name, "note", detail, f"the implementation in Python is slow: {remedy}")
    else:
        yield Check(driver.name, "ok", detail)


def _install(wanted: str) -> str:
    """The command that installs a package: as dbbench itself requires it, with its extras."""
    try:
        own = map(Requirement, importlib.metadata.requires("dbbench") or [])
    except importlib.metadata.PackageNotFoundError:
        own = map(Requirement, ())
    name = canonicalize_name(Requirement(wanted).name)
    for requirement in own:
        if canonicalize_name(requirement.name) == name:
            requirement.marker = None
            return f"pip install {shlex.quote(str(requirement))}"
    return f"pip install {shlex.quote(wanted)}"


# --- this machine ----------------------------------------------------------------------------------------------------


def _cpus(place: Placement) -> Iterator[Check]:
    """Where client and server would run; and whether this process may really be moved there."""
    where = [
        f"{who} on {f'CPU {cpus[0]}' if len(cpus) == 1 else f'{len(cpus)} others'}"
        for who, cpus in (("client", place.client_cpus), ("server", place.server_cpus))
        if cpus
    ]
    detail = f"placement {place.mode}" + (f": {', '.join(where)}" if where else "")
    if place.client_cpus:
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, place.client_cpus)
            os.sched_setaffinity(0, before)
        except OSError as error:
            detail = f"processes cannot be pinned to CPUs: {error.strerror}"
            yield Check("CPUs", "problem", detail, "dbbench run --placement free")
            return
    if place.note:
        yield Check("CPUs", "note", f"{detail} ({place.note})")
    else:
        yield Check("CPUs", "ok", detail)


def _idle(server_pid: int | None = None) -> Iterator[Check]:
    """Whether CPUs are kept awake while measuring; `server_pid` is a process of the user's own server."""
    if hindrance := idle.hindrance(server_pid):
        yield Check("idle CPUs", "note", f"may sleep: {hindrance}")
    else:
        yield Check("idle CPUs", "ok", "kept awake while measuring; --idle sleep leaves them")


def _load() -> Iterator[Check]:
    """What other processes use; where the platform does not say that, how many were running over the last minute."""
    found = busy.look()
    if found is not None:
        detail, disturbed = f"other processes use {found}", found.busy
    else:
        cpus = os.cpu_count() or 1
        try:
            load = os.getloadavg()[0]
        except OSError:
            return
        detail, disturbed = f"{load:.1f} on {count(cpus, 'CPU')}, over the last minute", load > BUSY * cpus
    if disturbed:
        yield Check("load", "note", detail, f"the numbers get noisier: {busy.REMEDY}")
    else:
        yield Check("load", "ok", detail)


def _other_runs() -> Iterator[Check]:
    """Whether another run marks itself; looking at the list leaves no mark, which a run could take for one."""
    try:
        sockets = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: runs are not marked
        return
    if any(line.endswith(_RUN_MARK) for line in sockets.splitlines()):
        yield Check("other runs", "note", "another dbbench run is measuring on this machine", "wait until it has ended")


def _selfcheck() -> Iterator[Check]:
    """What is known of how far this machine can be trusted."""
    found = kept.kept()
    effects = [] if found is None else [one for one in found.sensitivity if one.smallest_effect is not None]
    if found is None or not effects:
        yield Check("selfcheck", "note", "how far this machine can be trusted is not known", "dbbench selfcheck tells")
    else:
        told = ", ".join(f"{one.placement} {one.smallest_effect:.1%}" for one in effects)
        yield Check(
            "selfcheck", "ok", f"smallest difference that a run of a minute finds: {told} ({found.measured[:10]})"
        )


def _results() -> Iterator[Check]:
    folder = Path("results")
    try:
        with tempfile.TemporaryFile(dir=folder if folder.exists() else Path()):
            pass
    except OSError as error:
        way_out = "go to a folder that you may write, or name a result file elsewhere with --output"
        yield Check("results", "problem", f"results/ cannot be written: {error.strerror}", way_out)
    else:
        yield Check("results", "ok", "results/ can be written")


# --- servers ---------------------------------------------------------------------------------------------------------


def _embedded(place: Placement, *, start: bool) -> Iterator[Check]:
    """The embedded PostgreSQL; started and ended again, unless the user's own server is meant."""
    from dbbench.server.embedded import PACKAGE
    from dbbench.server.supervisors.postgres import Binaries

    remedy = f"{_install(PACKAGE.replace('_', '-'))}, or measure a server of your own with --url"
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        yield Check("PostgreSQL", "missing" if start else "note", "the embedded one is not installed", remedy)
        return
    binaries = Binaries(Path(spec.submodule_search_locations[0]))
    try:
        said = subprocess.run(
            [binaries.postgres, "--version"], capture_output=True, text=True, timeout=PROGRAM_LIMIT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        detail = f"the embedded one does not run here: {_line(error)}"
        yield Check("PostgreSQL", "problem" if start else "note", detail, remedy)
        return
    version = said.strip().rpartition(" ")[2]
    pgbench = "with" if (binaries.install / "bin/pgbench").is_file() else "without"
    if not start:
        yield Check("PostgreSQL", "ok", f"{version}, embedded, {pgbench} pgbench; not used")
        return
    yield Check("PostgreSQL", "ok", f"{version}, embedded, {pgbench} pgbench")
    yield from _started(place)


def _started(place: Placement) -> Iterator[Check]:
    from dbbench.server.embedded import embedded_server

    began = time.monotonic()
    try:
        with embedded_server(cpus=place.server_cpus, max_connections=CONNECTIONS):
            took = time.monotonic() - began
    except CannotStartError as error:
        yield _failed("server", "problem", error)
    else:
        yield Check("server", "ok", f"the embedded PostgreSQL started in {took:.1f} s, and was ended")


def _server(address: Address) -> Iterator[Check]:
    """The user's own server; nothing is made on it."""
    try:
        with connected(address, new_id()) as target:
            yield from _connected(address, target)
    except CannotStartError as error:
        yield Check("server", "problem", _line(error), "check host, port, database, user and password")
        if (pooled := guess(address)) is not None:
            yield from of_pooler(pooled)


def _connected(address: Address, target: Target) -> Iterator[Check]:
    said = target.describe()
    version = str(said["version"]).partition(" on ")[0]  # the rest names the compiler
    yield Check("server", "ok", f"{address}: {version}, {said['transport']}, {'TLS' if said['tls'] else 'no TLS'}")
    if address.is_local:
        yield from _idle(target.backend_pid)
    else:
        yield Check("idle CPUs", "ok", "may sleep: the server is not on this machine")
    yield from _settings(said["settings"])
    pooled = detect(address)
    if pooled is not None:
        yield from of_pooler(pooled)
        return  # limits and rights through a pooler say little about the server
    yield Check("pooler", "ok", "none is in front of the server")
    try:
        target.preflight(0, allow_production=True, allow_remote=True)
    except (CannotStartError, RefusedError) as error:
        yield _failed("rights", "problem", error)
        return
    yield Check("rights", "ok", f"{address.user} may create schemas")
    try:
        target.preflight(CONNECTIONS, allow_production=True, allow_remote=True)
    except CannotStartError as error:
        yield _failed("connections", "problem", error)
    else:
        yield Check("connections", "ok", f"{CONNECTIONS} are free: as many as a run opens by default")
    try:
        target.preflight(0, allow_production=False, allow_remote=False)
    except RefusedError as error:
        yield _failed("production", "note", error)
    else:
        yield Check("production", "ok", "on this machine, not named like it, and used by few or no other sessions")


def _settings(settings: dict[str, Any]) -> Iterator[Check]:
    detail = ", ".join(f"{name} {_readable(str(settings[name]))}" for name in SETTINGS if name in settings)
    noisy = [name for name in _NOISY if settings.get(name) == "on"]
    remedy = f"{' and '.join(noisy)} can add noise, for all drivers alike; a run changes no setting of yours"
    yield Check("settings", "note", detail, remedy if noisy else "")


def _readable(setting: str) -> str:
    """Turn a number of pages, 163848kB for 16384 times 8kB, into megabytes."""
    pages = re.fullmatch(r"(\d+)8kB", setting)
    return f"{int(pages[1]) * 8 // 1024} MB" if pages else setting


def _failed(name: str, status: Status, error: DbbenchError) -> Check:
    return Check(name, status, _line(error.message), _line(error.remedy))
