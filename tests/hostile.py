"""Inputs that nobody means well, drawn from a seed: command lines, URLs, result files and scenarios.

The quick tiers take a few of each, tests/slow takes them all.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from subprocess import CompletedProcess
from textwrap import indent
from typing import Any, Final
from urllib.parse import quote

import found
import msgspec
import typer
from conftest import REPOSITORY

from dbbench.cli.app import COMMANDS, app, parsed
from dbbench.cli.command import Command
from dbbench.cli.groups import words

SEED: Final = 11

NUMBERS: Final = (
    "0", "-1", "1", "3", "nan", "inf", "-inf", "1e400", "1e-400", "1_000", "١٢", "１２", "0x10", " 5 ", "5e5", "1e12",
    "9" * 19, "9" * 30, "9" * 400, "9" * 5000, "1" + "0" * 400 + "s", "9" * 30 + "ms", "infs", "nan%", "5%", "0.5",
    "20ms", "90s", "2m", "9" * 30 + "m", "0s", "0ms", "1,15", "1," * 3000 + "1", "0,1ms", "1" + "0" * 30 + "ms",
)  # fmt: skip
TEXTS: Final = (
    "", " ", "*", "?", "[", "**/*", "../..", "/", "/dev/null", "/proc/self/mem", ".", "-", "--", "=", "=x", "x=", ",",
    ",,", "a.b=", "a.b.c=1", "\udcff", "x\udce9=\udcff", "x" * 5000, "\x1b[2Jx", "a\nb", "::error::x", "\u202ex", "ｘ",
    "rows=9e999", "rows=" + "9" * 30, "rows=nan", "document_bytes=-1", "asyncpg.statement_cache_size=" + "9" * 30,
    "psycopg.prepare_threshold=-1", "psycopg.prepare_threshold=１", "time=1e-400", "cpu=nan%", "p99<" + "9" * 400 + "s",
    "p99<0ms", "p99 < 10 ms", "junit=", "junit=/", "=" * 100, "a==1", "postgresql://u:secret@nowhere.invalid:1/x",
)  # fmt: skip
VALID: Final[Mapping[str, Sequence[str]]] = {
    "--slo": ("p99<10ms",), "--url": ("postgresql://me@localhost/scratch",), "--sessions": ("1,2", "3"),
    "--rate": ("5",), "--think": ("1ms",), "--budget": ("9s",), "--precision": ("5%",), "--blocks": ("2",),
    "--driver": ("asyncpg", "psycopg,psycopg2"), "--layer": ("raw", "raw,orm"), "--set": ("rows=7",),
    "--rtt": ("0,1ms",), "--base": ("a==1",), "--head": ("a==2",), "--tolerance": ("5%",), "--seconds": ("9",),
    "--driver-set": ("asyncpg.statement_cache_size=0",), "--trial": ("5s",), "--fail-over": ("5%",),
    "--pool-size": ("3",), "--max-overflow": ("0",), "--pool-timeout": ("1",), "--seed": ("7",),
}  # fmt: skip


# --- command lines ---------------------------------------------------------------------------------------------------


def command_lines(number: int, seed: int = SEED) -> Iterator[list[str]]:
    """Command lines of every command, most of whose values are no good; none of them asks for a completion."""
    program: Any = typer.main.get_command(app)
    for index in range(number):
        rng = Random(f"{seed}/line/{index}")
        command = COMMANDS[index % len(COMMANDS)]
        yield [command.name, *_line(command, program.commands[command.name], rng)]


def _line(of: Command, command: Any, rng: Random) -> list[str]:
    options = [each for each in command.params if each.param_type_name == "option" and "--help" not in each.opts]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    needed = [each for each in options if each.required and rng.random() < 0.9]
    chosen = needed + rng.sample(options, min(len(options), rng.choice((0, 1, 1, 2, 3, 5))))
    line = [word for option in chosen for word in _option(of, option, rng)]
    line += [rng.choice((*TEXTS, *NUMBERS, "point_reads")) for _ in arguments if rng.random() < 0.5]
    if rng.random() < 0.2:
        rng.shuffle(line)
    return line


def _option(of: Command, option: Any, rng: Random) -> list[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        return [name]
    good = words(of.request, option.name) or VALID.get(name, ())
    value = rng.choice(good) if good and rng.random() < 0.75 else rng.choice((*NUMBERS, *TEXTS))
    return [name, value]


# --- URLs ------------------------------------------------------------------------------------------------------------

CANARY: Final = "Zq7kWx9B"  # part of every password; no output may have it
_ODD: Final = (
    "",
    "@",
    "/",
    ":",
    "#",
    "?",
    "%",
    "%zz",
    "&",
    "=",
    "+",
    " ",
    "'",
    '"',
    "\\",
    "ü",
    "[",
    "]",
    "\n",
    "\udcff",
    "$",
)
_USERS: Final = ("me", "", "m/e", "m@e", "m%40e", "m%e", "üser", "u" * 3000)
_HOSTS: Final = (
    "127.0.0.1", "localhost", "", "[::1]", "[::1", "::1", "[]", "127.0.0.1,localhost", "nowhere.invalid", "%2Fno%2Fsuch",
    "256.256.256.256", "-", "a" * 300, "a..b", "ünreachable.invalid", "xn--", "%00", "127.0.0.1%20", "0x7f.1",
)  # fmt: skip
_PORTS: Final = ("", ":1", ":1", ":0", ":-1", ":99999", ":65536", ":x", ":1e3", ":１", ":" + "9" * 30, ":", ":1:2")
_DATABASES: Final = ("/x", "/x", "", "/", "//", "/x/y", "/%00", "/ü", "/" + "d" * 3000, "/x@y", "/x;y", "/*")
_QUERIES: Final = (
    "", "", "sslmode=disable", "sslmode=never", "sslmode=", "port=2", "port=x", "host=", "host=/no/such", "host=a&host=b",
    "password={password}", "sslpassword={password}", "passwd={password}", "sslmode={password}", "{password}",
    "options=-c%20x={password}", "sslrootcert=/no/such", "sslrootcert=system", "ssl=true", "connect_timeout=0", "service=x",
    "statement_cache_size={password}", "pool_size={password}", "&&&", "=", "%", "dbname=y", "passfile=/no/such", "x" * 3000 + "=1",
)  # fmt: skip
_ODDS: Final = 0.35  # for each part of a URL: with all of them odd, the first one that is read would hide the others
_PREFIXES: Final = ("postgresql://", "postgres://", "postgresql+asyncpg://", "postgresql:/", "", "mysql://")


def urls(number: int, seed: int = SEED) -> Iterator[str]:
    """URLs with a password, most of them no good; behind the others is no server."""
    for index in range(number):
        rng = Random(f"{seed}/url/{index}")
        password = f"{CANARY}{rng.choice(_ODD)}{CANARY}{rng.choice(_ODD)}"
        written = rng.choice((password, quote(password, safe="", errors="replace"), quote(password, errors="replace")))
        parts = [
            rng.choice(each) if rng.random() < _ODDS else each[0]
            for each in (_PREFIXES, _USERS, _HOSTS, _PORTS, _DATABASES, _QUERIES)
        ]
        prefix, user, host, port, database, query = parts
        port = port or ":1"
        asked = f"?{query.replace('{password}', quote(password, safe='', errors='replace'))}" if query else ""
        yield f"{prefix}{user}:{written}@{host}{port}{database}{asked}"


# --- result files ----------------------------------------------------------------------------------------------------

_VALUES: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.5, 1e18, 1e308, 5e-324, "", "x", "x" * 20_000,
    "\u001b[2J", "::error::x", "\u202e", "\n", [], {}, [[]], {"": {}}, [None] * 100, {"x": [1e308, -1e308]}, list(range(500)),
)  # fmt: skip
_TOKENS: Final = (
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"9" * 400,
    b"[" * 5000,
    b'{"a":' * 2000,
    b"\xff",
    b"\x00",
    b'"',
)


def result_files(number: int, seed: int = SEED) -> Iterator[bytes]:
    """Result files of every command that something has happened to."""
    whole = _wholes()
    for index in range(number):
        rng = Random(f"{seed}/file/{index}")
        content = whole[index % len(whole)]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            content = rng.choice(_CHANGES)(content, rng)
        yield content


@cache
def _wholes() -> list[bytes]:
    encoded = [b"".join(msgspec.json.encode(each) + b"\n" for each in lines) for lines in found.stored().values()]
    return [*encoded, *(path.read_bytes() for path in sorted((REPOSITORY / "tests/data/schema1").glob("*.jsonl")))]


def _flipped(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _rearranged(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            del lines[one]
        case _:
            lines[one:one] = lines[other : other + 1] * 300
    return b"".join(lines)


def _retyped(content: bytes, rng: Random) -> bytes:
    """Another value somewhere in a line, a key that is gone, or one that is new."""
    lines = content.splitlines() or [b"{}"]
    at = rng.randrange(len(lines)) if rng.random() < 0.6 else 0
    try:
        whole = json.loads(lines[at])
    except (ValueError, RecursionError):
        return content
    node: Any = whole
    while isinstance(node, dict | list) and node:
        key: Any = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.25:
            if rng.random() < 0.15:
                del node[key]
            else:
                node[key] = rng.choice(_VALUES)
            break
        node = node[key]
    lines[at] = json.dumps(whole).encode()
    return b"\n".join(lines) + b"\n"


def _spliced(content: bytes, rng: Random) -> bytes:
    """Something in the place of a number or a text, or a key that is there twice."""
    lines = content.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    line, where = lines[at], [index for index, byte in enumerate(lines[at]) if byte == ord(":")]
    if where:
        begin = rng.choice(where) + 1
        end = next((index for index in range(begin, len(line)) if line[index] in b",}]"), len(line))
        twice = rng.random() < 0.2
        lines[at] = line[:end] + b"," + line[1:] if twice else line[:begin] + rng.choice(_TOKENS) + line[end:]
    return b"\n".join(lines) + b"\n"


_CHANGES: Final = (_flipped, _cut, _rearranged, _retyped, _retyped, _retyped, _spliced)


# --- scenarios -------------------------------------------------------------------------------------------------------

_ACTS: Final[Mapping[str, str]] = {  # what a scenario does besides its work
    "exits": "raise SystemExit(0)",
    "exits with a text": "raise SystemExit('bye')",
    "exits at once": "os._exit(0)",
    "exits at once with 70": "os._exit(70)",
    "kills itself": "os.kill(os.getpid(), 9)",
    "interrupts": "raise KeyboardInterrupt",
    "raises a base exception": "raise BaseException('x')",
    "raises GeneratorExit": "raise GeneratorExit",
    "raises StopIteration": "raise StopIteration(1)",
    "raises a class of its own": "raise type('E' * 3000, (Exception,), {})('x')",
    "raises ::error": "raise type('::error::x', (BaseException,), {})('\\n::error::y\\x1b[2J')",
    "raises what has no text": "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "raises what exits when it is shown": "raise type('E', (Exception,), {'__str__': lambda self: sys.exit(3)})()",
    "raises a text that is none": "raise type('E', (Exception,), {'__str__': lambda self: 5})()",
    "raises what has no cause": "raise type('E', (Exception,), {'orig': property(lambda self: 1 / 0)})('x')",
    "raises a false cause": "raise type('E', (Exception,), {'orig': 7, 'sqlstate': 7})('x')",
    "raises bytes of a file name": "raise OSError(2, 'x', '\\udcff')",
    "raises a long text": "raise ValueError('x' * 3_000_000)",
    "raises an endless chain": "e = ValueError('x'); e.__cause__ = KeyError('y'); e.__cause__.__context__ = e; raise e",
    "raises a group": "raise BaseExceptionGroup('x', [KeyboardInterrupt(), ValueError('y')])",
    "recurses": "f = lambda g: g(g)\nf(f)",
    "runs out of memory": "raise MemoryError",
    "takes memory": "x = bytearray(200_000_000)",
    "prints": "print('x' * 100_000); print('{}', file=sys.stderr); sys.__stdout__.write('y')",
    "writes to 0, 1 and 2": "for fd in (0, 1, 2):\n    try: os.write(fd, b'\\0\\0\\0\\5hello')\n    except OSError: pass",
    "writes everywhere": "for fd in range(30):\n    try: os.write(fd, b'\\0\\0\\0\\5hello')\n    except OSError: pass",
    "writes a length without end": "for fd in range(3, 30):\n    try: os.write(fd, b'\\xff' * 64)\n    except OSError: pass",
    "closes everything": "os.closerange(0, 60)",
    "closes its output": "sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)",
    "forks": "os.fork()",
    "forks and exits": "os.fork() or os._exit(0)",
    "forks and waits": "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nelse: os._exit(0)",
    "starts a program": "import subprocess; subprocess.Popen(['sleep', '300'])",
    "starts threads": "import threading\nfor _ in range(20): threading.Thread(target=time.sleep, args=(300,)).start()",
    "changes signals": "import signal\nif threading.current_thread() is threading.main_thread():\n"
    "    for s in (1, 2, 3, 13, 14, 15, 17): signal.signal(s, signal.SIG_IGN)",
    "sets an alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01)",
    "changes the folder": "os.chdir('/')",
    "changes to a folder that is gone": "import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "deletes itself": "os.path.exists(__file__) and os.unlink(__file__)",
    "changes the environment": "os.environ.clear()",
    "changes the path": "sys.path.clear(); sys.modules.pop('msgspec', None)",
    "patches the clock": "time.perf_counter_ns = lambda: -1; time.process_time_ns = lambda: -5",
    "patches builtins": "import builtins; builtins.print = builtins.open = builtins.repr = None",
    "patches the exit": "import atexit; atexit.register(time.sleep, 300)",
    "collects garbage": "import gc; gc.freeze(); gc.disable()",
    "sets limits": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))",
    "sets a trace": "sys.settrace(lambda *a: 1 / 0); sys.setprofile(lambda *a: None)",
    "lowers recursion": "sys.setrecursionlimit(80)",
}  # fmt: skip
_RESULTS: Final[Mapping[str, str]] = {  # what an operation may return
    "itself": "x = []; x.append(x); return x",
    "itself in a dict": "x = {}; x['x'] = x; return x",
    "much in little": "x = 1\nfor _ in range(80): x = [x, x]\nreturn x",
    "something deep": "x = 1\nfor _ in range(100_000): x = [x]\nreturn x",
    "a generator": "return (i for i in range(3))",
    "an endless iterator": "import itertools; return itertools.count()",
    "an endless list": "return type('L', (list,), {'__iter__': lambda self: __import__('itertools').count()})()",
    "an endless dict": "return type('D', (dict,), {'__iter__': lambda self: __import__('itertools').count()})()",
    "a list that lies": "return type('L', (list,), {'__len__': lambda self: -1})([1])",
    "what has no repr": "return type('R', (), {'__repr__': lambda self: 1 / 0})()",
    "what exits when it is shown": "return type('R', (), {'__repr__': lambda self: sys.exit(1)})()",
    "a repr that is none": "return type('R', (), {'__repr__': lambda self: 5})()",
    "what equals nothing": "return type('Q', (int,), {'__eq__': lambda self, other: 1 / 0, '__hash__': None})(3)",
    "a class": "return type('M', (type,), {'__getattr__': lambda cls, name: 1 / 0, '__repr__': lambda c: 1 / 0})('C', (), {})",
    "what has every attribute": "return type('A', (), {'__getattr__': lambda self, name: self})()",
    "what has no attribute": "return type('A', (), {'__getattribute__': lambda self, name: 1 / 0})()",
    "a fake mapper": "return type('F', (), {'__mapper__': 5})()",
    "a fake range": "return type('F', (), dict(lower=1, upper=0, lower_inc=1, upper_inc=1, isempty=lambda s: 1 / 0))()",
    "a large number": "return 10 ** 6000",
    "a large text": "return 'x' * 20_000_000",
    "half a character": "return '\\ud800'",
    "half a character in a name": "return {'\\ud800': type('\\udcff', (), {'__str__': lambda self: '\\udcff'})()}",
    "nan": "return [float('nan'), float('inf')]",
    "a module": "return os",
    "a lock": "return threading.Lock()",
    "a coroutine": "return asyncio.sleep(0)",
    "an exception": "return SystemExit(1)",
    "terminal commands": "return '\\x1b[2J\\n::error::x'",
    "many values": "return list(range(300_000))",
}  # fmt: skip
_NAMES: Final[Mapping[str, str]] = {  # what stands at the top of a scenario
    "a large parameter": "PARAMS = {'n': 10 ** 30}",
    "a parameter that is no number": "PARAMS = {'n': float('nan')}",
    "a parameter without end": "PARAMS = {'n': float('inf')}",
    "a parameter that is no text": "PARAMS = {'n': '\\udcff'}",
    "a parameter with a name that is none": "PARAMS = {'\\udcff': 1}",
    "a large text as a parameter": "PARAMS = {'n': 'x' * 3_000_000}",
    "a parameter of its own class": "PARAMS = {'n': type('I', (int,), {'__repr__': lambda self: 1 / 0})(3)}",
    "a text of its own class": "PARAMS = {'n': type('S', (str,), {'__str__': lambda self: 1 / 0})('x')}",
    "parameters that lie": "PARAMS = type('D', (dict,), {'items': lambda self: [(1, 2)]})()",
    "parameters that raise": "PARAMS = type('D', (dict,), {'__iter__': lambda self: 1 / 0})()",
    "no parameters": "PARAMS = 5",
    "many parameters": "PARAMS = {f'n{i}': i for i in range(20_000)}",
    "terminal commands in parameters": "PARAMS = {'\\x1b[2J\\n::error::': '\\n::error::x'}",
    "many sessions": "SESSIONS = (10 ** 30,)",
    "half a session": "SESSIONS = (0.5,)",
    "no sessions": "SESSIONS = ()",
    "endless sessions": "SESSIONS = __import__('itertools').count(1)",
    "too many cells": "SESSIONS = tuple(range(1, 3000))",
    "sessions that raise": "SESSIONS = type('T', (tuple,), {'__iter__': lambda self: 1 / 0})((1,))",
    "rows below 0": "def rows(params): return -1",
    "rows without end": "def rows(params): return 10 ** 30",
    "rows that are text": "def rows(params): return '3'",
    "rows that are none": "def rows(params): return None",
    "half a row": "def rows(params): return 0.5",
    "rows that raise": "def rows(params): raise SystemExit(0)",
    "rows that generate": "def rows(params): yield 1",
    "a long line": "x = '" + "x" * 200_000 + "'",
    "deep brackets": "x = " + "[" * 150 + "]" * 150,
    "no Python": "def (",
    "a NUL": "\0",
    "no UTF-8": "x = '\udcff'",
    "prepare that generates": "def prepare(connection, params): yield",
    "prepare that commits": "def prepare(connection, params): connection.commit(); connection.close()",
    "reset that closes": "def reset(connection, params): connection.connection.close()",
    "prepare that ends its session": "def prepare(connection, params): "
    "connection.exec_driver_sql('SELECT pg_terminate_backend(pg_backend_pid())')",
    "a docstring of commands": "'''\\x1b[2J::error::x'''",
}  # fmt: skip
_PLACES: Final = ("import", "prepare", "reset", "raw", "orm", "later")


def scenarios(number: int, seed: int = SEED) -> Iterator[tuple[str, str]]:
    """Scenarios, each with what it does: every kind once at least, where there are as many."""
    made = [(f"{name} at {place}", _acting(act, place)) for name, act in _ACTS.items() for place in _PLACES]
    made += [(f"returns {name}", _scenario(raw=act)) for name, act in _RESULTS.items()]
    made += [(f"has {name}", _scenario(top=top)) for name, top in _NAMES.items()]
    rng = Random(f"{seed}/scenario")
    rng.shuffle(made)
    first = {name.rpartition(" at ")[0] or name: (name, source) for name, source in made}
    rest = [each for each in made if each not in first.values()]
    yield from [*first.values(), *rest][:number]


def _acting(act: str, place: str) -> str:
    match place:
        case "import":
            return _scenario(top=act)
        case "prepare" | "reset":
            return _scenario(top=f"def {place}(connection, params):\n{indent(act, '    ')}")
        case "later":
            return _scenario(top="count = 0", raw=f"global count\ncount += 1\nif count > 5:\n{indent(act, '    ')}")
        case layer:
            return _scenario(**{layer: act})


def _scenario(top: str = "", **layers: str) -> str:
    """The source of a scenario that does this before its work."""
    acts = layers or {"raw": ""}
    work = {"raw": "await db.fetch_one('SELECT 1')", "orm": "await db.execute(text('SELECT 1'))"}
    functions = [
        f"async def {layer}(db, params, rng):\n    {work[layer]}\n{indent(act or 'return 1', '    ')}\n".replace(
            "db", "session" if layer == "orm" else "db"
        )
        for layer, act in acts.items()
    ]
    return "\n".join([_IMPORTS, top, *functions])


_IMPORTS: Final = "import asyncio, os, sys, threading, time\nfrom sqlalchemy import text\n"


# --- what must hold --------------------------------------------------------------------------------------------------

RUDE_S: Final = 10.0  # CPU time of a stored command that would be a hang; usually 0.05
Run = Callable[..., CompletedProcess[str]]


def parsed_or_refused(line: Sequence[str]) -> int:
    """The exit code that a command line leads to by itself: 0 where it is understood.

    What it is understood as can be sent and stored: its numbers are finite, its texts are texts.
    """
    try:
        request = parsed(line)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code not in (0, 2):
            raise
        return int(code)
    _storable(request)
    return 0


def _storable(value: Any) -> None:
    match value:
        case int() | float():
            assert math.isfinite(value), value
            assert abs(value) < 2**63, value
        case str() | Path():
            str(value).encode()
        case msgspec.Struct():
            msgspec.json.encode(value)
            _storable(msgspec.structs.asdict(value))
        case dict():
            for each in (*value, *value.values()):
                _storable(each)
        case list() | tuple():
            for each in value:
                _storable(each)
        case _ if dataclasses.is_dataclass(value):
            _storable([getattr(value, field.name) for field in dataclasses.fields(value)])


def judge_url(url: str, run: Run) -> int:
    """The exit code for a URL behind which is no server: one line, and nothing of its password."""
    done = run("clean", "--url", url)
    assert done.returncode in (2, 4), (url, done)
    assert (done.stderr.count("\n"), done.stdout) == (1, ""), (url, done)
    assert CANARY not in done.stderr, (url, done)
    return done.returncode


def judge_file(content: bytes, folder: Path, run: Run, number: int) -> int:
    """The exit code of one of the commands that read result files, for this file, whose number chooses the command."""
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "x.jsonl").write_bytes(content)
    (folder / "good.jsonl").write_bytes(_wholes()[0])
    command = _READING[number % len(_READING)].split()
    before = time.process_time()
    done = run(*command)
    spent_s = time.process_time() - before
    assert done.returncode in (0, 2, 3, 6), (number, command, done)
    assert all(line.startswith("dbbench: ") for line in done.stderr.splitlines()), (number, command, done.stderr)
    assert done.returncode != 2 or done.stderr, (number, command)
    assert spent_s < RUDE_S, (number, command, spent_s)
    return done.returncode


_READING: Final = (
    "show results/x.jsonl",
    "show results/x.jsonl --details",
    "show x --format markdown",
    "export results/x.jsonl",
    "export results/x.jsonl --format json",
    "export results/x.jsonl --format pyperf",
    "export results/x.jsonl --format hgrm -o latencies",
    "compare good.jsonl results/x.jsonl",
    "compare results/x.jsonl good.jsonl --force --format csv",
    "history",
    "history --format json",
)


def judge_scenario(source: str, folder: Path, run: Run, number: int) -> int:
    """The exit code of a run or of counting for a scenario that may do anything."""
    file = folder / "scenario.py"
    file.write_bytes(source.encode(errors="surrogateescape"))
    layer = "raw" if "async def raw" in source else "orm"
    limits = ("--statement-timeout", "2", "--pool-timeout", "2", "--layer", layer, "-d", "asyncpg")
    if number % 2:
        done = run("wire", str(file), "-d", "psycopg-sync", "--operations", "2", *limits)
    else:
        done = run("run", str(file), "-d", "psycopg", "--blocks", "1", "--rounds", "1", *limits)
    assert done.returncode in (0, 2, 3, 6), (source, done)
    assert "Traceback" not in done.stderr, (source, done)
    return done.returncode
