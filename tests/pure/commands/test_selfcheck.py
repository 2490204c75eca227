"""What the self-check makes of its measurements."""

import io
import math
import random
from pathlib import Path

import msgspec
import pytest
from builders import measurements, plan, run
from conftest import Cli
from rich.console import Console

from dbbench.analysis.ratios import log_ratios
from dbbench.commands.selfcheck import kept
from dbbench.commands.selfcheck.result import SelfCheck
from dbbench.commands.selfcheck.steps import false_alarm_rate, smallest_effect
from dbbench.plan import Layer
from dbbench.records import NoiseFloor, Overhead, Pgbench, Sensitivity
from dbbench.reports.selfcheck import render, sentence
from dbbench.stats.centre import Block, centre
from dbbench.stats.paired import ERROR


def noise(sd: float, blocks: int = 40) -> list[float]:
    rng = random.Random(7)
    return [rng.gauss(0, sd) for _ in range(blocks)]


def floor(block_sd: float, placement: str = "split") -> NoiseFloor:
    return NoiseFloor(placement, 0.01, 0.0, 30.0, 20, block_sd, 0.05, 0.05, 0.04, 0.06)


def check(*floors: NoiseFloor, effect: float | None = 0.014) -> SelfCheck:
    sensitivities = [Sensitivity(one.placement, effect, 60.0, 30) for one in floors]
    return SelfCheck([], list(floors), sensitivities, None, [])


@pytest.mark.trials
def test_the_smallest_effect_grows_with_the_noise_and_shrinks_with_the_blocks() -> None:
    quiet = smallest_effect(noise(0.01), 30, random.Random(1))
    loud = smallest_effect(noise(0.03), 30, random.Random(1))
    longer = smallest_effect(noise(0.03), 60, random.Random(1))

    assert quiet is not None
    assert loud is not None
    assert longer is not None
    assert 0.003 < quiet < 0.02
    assert quiet < longer < loud


@pytest.mark.trials
def test_an_effect_of_the_smallest_size_is_found_with_the_power_that_is_claimed() -> None:
    logs, blocks = noise(0.02), 25
    effect = smallest_effect(logs, blocks, random.Random(1))
    assert effect is not None
    rng = random.Random(2)
    found = 0
    for _ in range(500):
        drawn = [rng.choice((-1, 1)) * rng.choice(logs) + math.log(1 + effect) for _ in range(blocks)]
        low = centre(list(map(Block, drawn)), ERROR / 2).low
        found += low is not None and low > 0
    assert found / 500 == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("logs", [noise(0.01), noise(2.0)])
def test_too_few_blocks_or_too_much_noise_find_nothing(logs: list[float]) -> None:
    assert smallest_effect(logs, 5 if max(logs) < 1 else 30, random.Random(1)) is None


def test_identical_arms_seldom_raise_an_alarm() -> None:
    assert false_alarm_rate(noise(0.05), random.Random(1)) <= 0.05


def test_the_sentence_says_what_a_minute_can_tell() -> None:
    text = sentence(check(floor(0.01), floor(0.005, "shared")))
    assert "a run of 60 s tells drivers apart that differ by 1.4% or more" in text
    assert "1.4% with --placement shared" in text
    assert "do not trust less" in text
    assert "too noisy" in sentence(check(floor(0.4), effect=None))
    assert "too noisy" in sentence(check())


def ratios(noise: float) -> list[list[float | None]]:
    made = run(plan(), measurements({"psycopg": 300.0, "asyncpg": 200.0, "psycopg2": 250.0}, noise=noise))
    return [list(row) for row in log_ratios(made.header.plan, made.measurements).values()]


def test_a_run_that_is_much_noisier_than_the_machine_can_be_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept.warning(ratios(0.3), "split") == "", "nobody knows"

    assert kept.keep(check(floor(0.01), floor(0.005, "shared")))
    assert "noisier than this machine can be" in kept.warning(ratios(0.3), "split")
    assert kept.warning(ratios(0.005), "split") == ""
    assert kept.warning(ratios(0.3), "free") == "", "of this placement nothing is known"
    assert kept.warning([[0.1, -0.1]], "split") == "", "too few blocks"


def test_what_was_kept_may_be_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for content in (b"", b"{}", b"\xff\xfe", b'{"noise_floor": 3}'):
        kept.path().parent.mkdir(exist_ok=True)
        kept.path().write_bytes(content)
        assert kept.kept() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept.path()))  # a file, not a folder
    assert kept.keep(check()) is False
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert kept.path().is_absolute()


def test_it_is_printed_in_80_columns() -> None:
    text = io.StringIO()
    places: list[tuple[Layer, int, float]] = [
        ("raw", 1, 1.01), ("raw", 10, 1.08), ("core", 1, 1.01), ("orm", 1, 1.01)
    ]  # fmt: skip
    overheads = [
        Overhead(driver, layer, ratio, 0.99, 1.03, sessions)
        for driver in ("psycopg", "psycopg-sync")
        for layer, sessions, ratio in places
    ]
    pgbench = Pgbench("psycopg-sync", 23.9, 91.0, 2.72, 2.5, 2.9)
    made = msgspec.structs.replace(
        check(floor(0.01)), harness_overhead=overheads, pgbench=pgbench, problems=["[red]oh"]
    )
    render(made, Console(file=text, width=80, force_terminal=False))

    assert max(map(len, text.getvalue().splitlines())) <= 80
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert lines.index(["psycopg-sync", "raw", "1", "1.010", "(0.990-1.030)", "1.99"]) < lines.index(
        ["psycopg", "raw", "10", "1.080", "(0.990-1.030)", "1.93"]
    ), "place by place, with what a ratio of 2 reads"
    for expected in ("5.0% (4.0% to 6.0%)", "272% (250% to 290%)", "[red]oh"):
        assert expected in text.getvalue()


def test_a_wrong_time_is_refused(dbbench: Cli) -> None:
    done = dbbench("selfcheck", "--seconds", "soon")
    assert done.returncode == 2
    assert "--seconds soon: seconds, like 90, 90s or 2m" in done.stderr
