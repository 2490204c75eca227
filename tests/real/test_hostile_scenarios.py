"""Scenarios that do what none should: the worker answers once, in order, or is lost, and nobody waits for long."""

from pathlib import Path

import hostile
import pytest
from conftest import Cli

EXPECTED = {
    "forks at prepare": (0, ""),
    "forks and exits at reset": (0, ""),
    "writes everywhere at raw": (3, "gave what is no answer: does the scenario write to files that it has not opened?"),
    "writes a length without end at orm": (3, "gave what is no answer"),
    "closes everything at raw": (3, "the worker of asyncpg ended"),
    "raises what exits when it is shown at raw": (3, "scenario.py:7: E"),
    "raises what has no cause at raw": (3, "scenario.py:7: E: x"),
    "raises an endless chain at raw": (3, "scenario.py:7: ValueError: x"),
    "returns an endless list": (3, "returned more than 2,000,000 values, or has no end of them"),
    "has rows without end": (3, "rows() must give a whole number of rows, 0 or more, not 1e+30"),
    "has rows that are text": (3, "rows() must give a whole number of rows, 0 or more, not str"),
    "has too many cells": (2, "5,998 cells times drivers are more than 1,000; name fewer --sessions or --layer"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scenario_may_do_anything(name: str, measure: Cli, tmp_path: Path) -> None:
    code, message = EXPECTED[name]
    source = dict(hostile.scenarios(1000))[name]
    said: list[str] = []

    def run(*arguments: str) -> object:
        done = measure(*arguments)
        said.append(done.stderr)
        return done

    assert hostile.judge_scenario(source, tmp_path, run, number=0) == code  # type: ignore[arg-type]
    assert message in said[0]
