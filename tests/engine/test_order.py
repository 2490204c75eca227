"""In which order a run measures, and with which random numbers: the seed decides, today as ever."""

from array import array
from pathlib import Path
from random import Random
from typing import cast

import pytest
from builders import plan
from engine.runs import measured, options, order
from engine.scripted import ADDRESS, TABLES

from dbbench.messages import Check, Ran, RunSlice, Start
from dbbench.plan import Connections, Load
from dbbench.records import Usage
from dbbench.worker.client import Client
from dbbench.worker.load import Samples, Work, schedule
from dbbench.worker.worker import Worker

TWO_CELLS = "psycopg 1ms, asyncpg 1ms, sessions 1 2"


def test_a_seed_visits_cells_and_arms_in_the_order_that_it_always_had(tmp_path: Path) -> None:
    found = measured(options(tmp_path, TWO_CELLS, blocks=3))

    p, a = "psycopg", "asyncpg"
    assert order(found.run) == [
        (0, 0, [p, a, p, a, p, a]),
        (0, 1, [p, a, a, p, a, p]),
        (1, 0, [p, a, a, p, a, p]),
        (1, 1, [a, p, p, a, a, p]),
        (2, 1, [p, a, p, a, a, p]),
        (2, 0, [a, p, p, a, p, a]),
    ]


def test_a_seed_draws_the_random_numbers_that_it_always_drew(tmp_path: Path) -> None:
    """Operations draw from generators whose seeds are these texts: another text is another workload."""
    found = measured(options(tmp_path, "psycopg 1ms, sessions 2", drivers=["psycopg"], rounds=2))
    asked = [request for name, request in found.machine.asked if name == "psycopg"]

    assert [request.seeds for request in asked if isinstance(request, Check)] == [
        ["1/check/0/0", "1/check/0/1", "1/check/0/2"]
    ] * 2
    assert [request.seed for request in asked if isinstance(request, RunSlice)] == [
        "1/check/0/warm-up",
        "1/check/0/warm-up/False",
        "1/time/0",
        "1/0/0/warm-up",
        "1/0/0/warm-up/False",
        "1/0/0/0",
        "1/0/0/1",
    ]


def test_workers_start_in_a_drawn_order_with_one_hash_seed_for_all(tmp_path: Path) -> None:
    found = measured(options(tmp_path, TWO_CELLS, blocks=2))
    tables, *workers = found.machine.workers

    assert (tables.name, tables.environment) == (TABLES, {})
    assert [(each.name, each.environment["PYTHONHASHSEED"]) for each in workers] == [
        ("asyncpg", "3808912199"),
        ("psycopg", "3808912199"),  # the set-up's
        ("psycopg", "3362783072"),
        ("asyncpg", "3362783072"),
        ("asyncpg", "759227903"),
        ("psycopg", "759227903"),
    ]
    assert all(each.ended for each in found.machine.workers)
    in_block = {each.arm: each.worker for each in found.run.measurements if each.block == 1}
    assert {arm: worker["started"] for arm, worker in in_block.items()} == {"asyncpg": 0, "psycopg": 1}
    assert {arm: worker["pid"] for arm, worker in in_block.items()} == {"asyncpg": 4005, "psycopg": 4006}


def test_runs_with_the_same_seed_are_alike_and_with_another_differ(tmp_path: Path) -> None:
    name = "psycopg 1ms noise 5%, asyncpg 1ms noise 5%, sessions 1 2"
    first, again, other = (
        measured(options(tmp_path, name, blocks=2, seed=seed, output=tmp_path / f"{number}.jsonl"))
        for number, seed in enumerate((1, 1, 2))
    )

    assert first.run.measurements == again.run.measurements
    assert order(first.run) != order(other.run)


def test_a_seed_that_was_not_given_is_drawn(tmp_path: Path) -> None:
    seeds = {
        measured(options(tmp_path, "psycopg 1ms", seed=None, output=tmp_path / f"{number}.jsonl")).run.header.plan.seed
        for number in range(3)
    }

    assert len(seeds) > 1


def test_slices_of_the_arms_are_interleaved_and_alike(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 2ms, psycopg2 3ms, sessions 1 4", drivers=[
        "psycopg", "asyncpg", "psycopg2",
    ], rounds=4))  # fmt: skip
    for index in (0, 1):
        of_cell = found.of_cell(index)

        assert sorted(part.position for each in of_cell for part in each.slices) == list(range(3 * 4))
        for each in of_cell:  # one slice of every arm in every round
            assert [part.position // 3 for part in each.slices] == [part.round for part in each.slices] == [0, 1, 2, 3]
        assert len({part.usage.operations for each in of_cell for part in each.slices}) == 1


def test_slices_begin_one_after_the_other(tmp_path: Path) -> None:
    found = measured(options(tmp_path, TWO_CELLS, blocks=2))
    began: list[int] = []
    for block, cell, _ in order(found.run):
        slices = [
            part for each in found.run.measurements if (each.block, each.cell) == (block, cell) for part in each.slices
        ]
        began += [part.began_ns for part in sorted(slices, key=lambda part: part.position)]

    assert began == sorted(set(began))
    assert began[0] >= 0


class Kept:
    """A load generator, and the client that has it, that keeps what it is to do."""

    sessions = 2
    connects = 0

    def __init__(self) -> None:
        self.generator = self
        self.works: list[Work] = []

    def run(self, work: Work) -> Samples:
        self.works.append(work)
        return Samples(array("q", [5]), array("q"), None, 0, Usage(1, 0, 5, 5))


def test_a_worker_draws_the_random_numbers_that_it_always_drew() -> None:
    worker, kept = Worker(Start("psycopg", ADDRESS, "", Connections(), None)), Kept()
    worker._client = cast("Client", kept)
    load = Load(rate=100.0)

    assert isinstance(worker.handle(RunSlice(3, "1/0/0/0", 10**9, lead_in=2, load=load)), Ran)
    lead_in, timed = kept.works
    assert [rng.random() for rng in lead_in.rngs] == [
        Random(f"1/0/0/0/lead-in/{session}").random() for session in (0, 1)
    ]
    assert [rng.random() for rng in timed.rngs] == [Random(f"1/0/0/0/{session}").random() for session in (0, 1)]
    assert lead_in.due is None
    assert timed.due == schedule(load, 3, "1/0/0/0/arrivals")


def test_arrivals_come_when_they_always_came() -> None:
    assert schedule(Load(rate=100.0), 3, "1/0/0/0/arrivals") == [4_142_766, 5_118_540, 10_501_235]


@pytest.mark.parametrize("path", [(0,), (0, 1, 2), (3, "start"), (3, "seats")])
def test_every_place_draws_from_a_generator_of_its_own(path: tuple[object, ...]) -> None:
    text = "/".join(map(str, (7, *path)))

    assert plan().rng(*path).random() == Random(text).random()
