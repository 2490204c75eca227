"""Clocks that do not agree."""

import time

import pytest

from dbbench.engine.clocks import Disturbances, Reading, disagreement, read

START = Reading(100.0, 250.0, 1.7e9)


def later(monotonic: float, boot: float, wall: float) -> Reading:
    return Reading(START.monotonic + monotonic, START.boot + boot, START.wall + wall)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (later(60, 60, 60), ""),
        (later(60, 60, 60.9), ""),  # slewed
        (later(60, 64, 64), "the machine was suspended for 4 s"),
        (later(60, 3660, 3660), "the machine was suspended for 3,600 s"),
        (later(60, 60, 3660), "the clock jumped ahead by 3,600 s: it was set, or this machine was paused"),
        (later(60, 60, -3540), "the clock was set back by 3,600 s"),
        (later(60, 64, -3540), "the machine was suspended for 4 s"),
    ],
)
def test_what_the_clocks_say(after: Reading, said: str) -> None:
    assert disagreement(START, after) == said


def test_the_clocks_of_this_machine_agree() -> None:
    before = read()
    time.sleep(0.01)
    assert disagreement(before, read()) == ""
    assert read().monotonic > before.monotonic


def test_everything_that_was_noticed_is_said_once() -> None:
    readings = iter([START, later(60, 64, 64)])
    watched = Disturbances(lambda: next(readings))
    for what in ("", "it was stopped", "it was stopped"):
        watched.add(what)
    assert watched.found() == "it was stopped; the machine was suspended for 4 s"
