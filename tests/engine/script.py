"""What a scenario's name says: how long operations take and what goes wrong, for scripted workers.

As hyperfine's tests read "sleep 0.123" out of a command, a scenario is nothing but its name here:

    psycopg 1000us, asyncpg 800us noise 2% fails 40001 10%, sessions 1 4

A clause begins with the name of an arm (in a gate base or head), or of its driver, and says of it:

    800us, 2ms         how long an operation takes on one connection; 1ms where nothing is said
    3ms in orm         ... at that layer
    noise 5%           by how much a slice may be off, at random
    recorded           blocks, of two rounds each, are as noisy as the gates of tests/data/identical_sides.json
    returns 7          what operations return: 1 where nothing is said; `returns nothing` for None
    writes 7           what they leave in the tables
    sends nothing      so that the check refuses it
    fails 40001 10%    the SQLSTATE of operations that fail, and how many do: all where nothing is said
    differently        ... with another message in every slice
    leaking            ... with the password in the message
    lost in block 1    when its worker ends; likewise `interrupted in`, by a signal, and `deserted in`, by the server
    stopped in block 1 when its process is stopped by a signal for a while; likewise `suspended in`, the machine, and
                       `restarted in`: the server is away for 7 s
    crawls in block 1  when everything takes ten times as long

or is about the whole scenario: `sessions 1 4`, `layers raw orm`, `reset`, `broken`, `unprepared`, `rebuilt` (head makes
other tables). Moments are: check, time, close, block 1, warm-up of block 1; of a search: warm-up, guess, trial 1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from dbbench.plan import Layer
from dbbench.scenario import LAYERS, Description

_UNITS_NS: Final = {"us": 1e3, "ms": 1e6}
_MOMENTS: Final = "check|time|close|guess|trial \\d+|(?:warm-up of )?block \\d+|warm-up"
_WORDS: Final = (
    r"\d+(us|ms)( in \w+)?|noise \d+%|recorded|returns \w+|writes \w+|fails \w+( \d+%)?|differently|leaking|"
    rf"sends nothing|(lost|interrupted|deserted|crawls|stopped|suspended|restarted) in ({_MOMENTS})"
)


@dataclass(frozen=True)
class Part:
    """What a scenario's name says of one arm."""

    operation_ns: float = 1e6
    at_layers: Mapping[str, float] = field(default_factory=dict)  # the same, at layers of which more is said
    noise: float = 0.0
    recorded: bool = False
    returns: str = "1"
    writes: str = "1"
    unfit: bool = False
    fails: str = ""  # SQLSTATE
    failing: float = 0.0  # share of the operations
    differently: bool = False
    leaking: bool = False
    happens: Mapping[str, str] = field(default_factory=dict)  # moment -> lost, interrupted, deserted, crawls, ...

    @classmethod
    def of(cls, words: str) -> Self:
        """Read a clause; a word that means nothing is a mistake in a test."""
        assert re.fullmatch(rf"(({_WORDS})( |$))*", words), words
        time = re.search(r"(\d+)(us|ms)\b(?! in )", words)
        at_layers = re.findall(r"(\d+)(us|ms) in (\w+)", words)
        noise = re.search(r"noise (\d+)%", words)
        fails = re.search(r"fails (\w+)(?: (\d+)%)?", words)
        returns, writes = (re.search(rf"{verb} (\w+)", words) for verb in ("returns", "writes"))
        return cls(
            operation_ns=int(time[1]) * _UNITS_NS[time[2]] if time else 1e6,
            at_layers={layer: int(number) * _UNITS_NS[unit] for number, unit, layer in at_layers},
            noise=int(noise[1]) / 100 if noise else 0.0,
            recorded="recorded" in words,
            returns=returns[1] if returns else "1",
            writes=writes[1] if writes else "1",
            unfit="sends nothing" in words,
            fails=fails[1] if fails else "",
            failing=int(fails[2] or 100) / 100 if fails else 0.0,
            differently="differently" in words,
            leaking="leaking" in words,
            happens={when: what for what, when in re.findall(rf"(\w+) in ({_MOMENTS})", words)},
        )


@dataclass(frozen=True)
class Script:
    """What a scenario's name says."""

    name: str
    parts: Mapping[str, Part]
    words: Mapping[str, list[str]]  # of the whole scenario: word -> what follows it

    @classmethod
    def of(cls, path: str) -> Self:
        """Read the name of a scenario's file."""
        name = Path(path).stem
        clauses = [clause.split() for clause in name.split(", ")]
        whole = ("sessions", "layers", "reset", "broken", "unprepared", "rebuilt")
        return cls(
            name,
            {first: Part.of(" ".join(words)) for first, *words in clauses if first not in whole},
            {first: words for first, *words in clauses if first in whole},
        )

    def part(self, arm: str, driver: str) -> Part:
        """What it says of the arm, or of its driver."""
        return self.parts.get(arm) or self.parts.get(driver) or Part()

    def description(self, overrides: Mapping[str, str]) -> Description:
        """What the worker says of the scenario."""
        layers: list[Layer] = [layer for layer in LAYERS if layer in self.words.get("layers", ["orm"])]
        sessions = [int(word) for word in self.words.get("sessions", ["1"])]
        params = {"rows": int(overrides.get("rows", 50))}
        return Description(self.name, "Scripted.", params, layers, sessions, None, has_reset="reset" in self.words)


def moment(seed: str) -> str:
    """Which moment of a run it is, by the seed of what is done then; these texts decide what a seed draws."""
    match seed.split("/")[1:]:
        case ["check" | "time" as name, *_]:
            return name
        case ["capacity", "guess"]:
            return "guess"
        case ["capacity", "warm-up", *_]:
            return "warm-up"
        case ["capacity", number]:
            return f"trial {int(number) + 1}"
        case [block, _cell, "warm-up", *_]:
            return f"warm-up of block {block}"
        case [block, _cell, _round]:
            return f"block {block}"
    raise AssertionError(seed)
