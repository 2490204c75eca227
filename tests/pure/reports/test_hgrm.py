"""HdrHistogram's text: as its own programs write it, and true to the samples."""

import itertools
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from builders import cell, changed, measurement, measurements, plan, run, store
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

from dbbench.analysis.analysis import analyse
from dbbench.errors import UsageError
from dbbench.plan import Plan
from dbbench.records import Measurement
from dbbench.reports.run.hgrm import Series, series, text
from dbbench.stats.histogram import Histogram

# What HdrHistogram's JavaScript port is tested to write for 25, 50 and 75, but in nanoseconds instead of whole numbers
# and with more decimals; the buckets are ours.
GOLDEN = """\
       Value     Percentile TotalCount 1/(1-Percentile)

    0.000025 0.000000000000          1           1.00
    0.000025 0.100000000000          1           1.11
    0.000025 0.200000000000          1           1.25
    0.000025 0.300000000000          1           1.43
    0.000050 0.400000000000          2           1.67
    0.000050 0.500000000000          2           2.00
    0.000050 0.550000000000          2           2.22
    0.000050 0.600000000000          2           2.50
    0.000050 0.650000000000          2           2.86
    0.000075 0.700000000000          3           3.33
    0.000075 1.000000000000          3
#[Mean    =     0.000050, StdDeviation   =     0.000020]
#[Max     =     0.000075, Total count    =            3]
#[Buckets =           56, SubBuckets     =          256]
"""


class Line(NamedTuple):
    """A line as HdrHistogram's plotter takes it apart."""

    value: float  # milliseconds
    percentile: float
    below: int
    inverse: float  # 1 / (1 - percentile)


def of(samples: list[int]) -> Series:
    latency = Histogram()
    latency.record_all(samples)
    return Series("some", latency, max(samples), sum(samples) / len(samples))


def parsed(written: str) -> list[Line]:
    """Read as the plotter does: lines of four numbers that do not begin with #."""
    lines = []
    for line in written.splitlines():
        words = line.split()
        if len(words) == 4 and not line.startswith("#") and words[0] != "Value":
            lines.append(Line(float(words[0]), float(words[1]), int(words[2]), float(words[3])))
    return lines


def facts(written: str) -> dict[str, float]:
    """Read the lines at the end."""
    return {name: float(number) for name, number in re.findall(r"(\w[\w ]*\w) *= *([\d.]+)", written)}


def paced(of: Plan) -> Plan:
    return changed(of, rate=100.0, slice_s=1.0)


# --- the text --------------------------------------------------------------------------------------------------------


def test_it_is_what_hdrhistogram_writes() -> None:
    assert text(of([75, 25, 50])) == GOLDEN


def test_a_single_sample_is_one_line_and_the_last() -> None:
    assert text(of([100])).splitlines()[2:4] == [
        "    0.000100 0.000000000000          1           1.00",
        "    0.000100 1.000000000000          1",
    ]


@given(st.lists(st.integers(min_value=0, max_value=2**40), min_size=1, max_size=300))
def test_values_percentiles_and_counts_never_fall(samples: list[int]) -> None:
    lines = parsed(text(of(samples)))

    for before, after in itertools.pairwise(lines):
        assert before.value <= after.value
        assert before.below <= after.below
        assert before.percentile < after.percentile
    assert (lines[0].percentile, lines[-1].below) == (0.0, len(samples))


@given(st.lists(st.integers(min_value=0, max_value=2**40), min_size=1, max_size=300))
def test_every_line_is_within_one_percent_of_the_sorted_samples(samples: list[int]) -> None:
    exact = sorted(samples)
    for line in parsed(text(of(samples))):
        rank = max(1, math.ceil(Fraction(str(line.percentile)) * len(samples)))

        assert abs(line.value * 1e6 - exact[rank - 1]) <= exact[rank - 1] / 100 + 0.001
        # The count is of all samples in the buckets up to here, so of those not above the value but for the rounding.
        assert sum(sample < line.value * 0.99e6 for sample in samples) <= line.below
        assert line.below >= rank


@given(st.lists(st.integers(min_value=0, max_value=2**40), min_size=1, max_size=300))
def test_the_end_says_what_is_known_exactly(samples: list[int]) -> None:
    written = text(of(samples))
    found = facts(written)

    assert found["Total count"] == len(samples)
    assert found["Max"] == pytest.approx(max(samples) / 1e6, abs=1e-6)
    assert found["Mean"] == pytest.approx(sum(samples) / len(samples) / 1e6, abs=1e-6)
    last = written.splitlines()[-4].split()
    assert last == [f"{max(samples) / 1e6:.6f}", "1.000000000000", str(len(samples))]


def test_the_deviation_is_that_of_the_samples() -> None:
    assert facts(text(of([1_000_000, 3_000_000] * 50)))["StdDeviation"] == pytest.approx(1.0, rel=0.01)


def test_all_distributions_have_the_same_ticks() -> None:
    few, many = (parsed(text(of(list(range(1000, 1000 + n))))) for n in (50, 5000))

    assert [line.percentile for line in few] == [line.percentile for line in many][: len(few)]
    assert [line.percentile for line in few][:8] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6]
    assert all(line.inverse == pytest.approx(1 / (1 - line.percentile), rel=0.01) for line in few)


# --- which there are -------------------------------------------------------------------------------------------------


def test_blocks_are_merged() -> None:
    (one,) = series(analyse(run(plan(arms=["psycopg"]), measurements({"psycopg": 360.0}, blocks=3))), None)
    parts = measurements({"psycopg": 360.0}, blocks=3)

    assert one.name == "point_reads-orm-8-psycopg"
    assert one.latency.total == sum(sum(part.latency.values()) for part in parts)
    assert one.max_ns == max(part.max_ns for part in parts)
    assert one.mean_ns == pytest.approx(360_000, rel=0.03)


def test_there_is_one_for_every_cell_and_driver_that_has_a_sample() -> None:
    cells = [cell(), cell("bulk_inserts", "core", 1)]
    measured = [*measurements({"psycopg": 360.0, "asyncpg": 212.0}), *measurements({"psycopg": 900.0}, cell=1)]

    names = [one.name for one in series(analyse(run(plan(cells), measured)), None)]
    assert names == ["point_reads-orm-8-psycopg", "point_reads-orm-8-asyncpg", "bulk_inserts-core-1-psycopg"]
    assert [one.name for one in series(analyse(run(plan(cells), measured)), "asyncpg")] == names[1:2]


def test_parameters_are_in_the_name_where_cells_differ_in_nothing_else() -> None:
    cells = [cell(params={"rows": 10}), cell(params={"rows": 20}), cell("bulk_inserts", params={"rows": 10})]
    measured = [one for index in range(3) for one in measurements({"psycopg": 360.0}, cell=index)]

    assert [one.name for one in series(analyse(run(plan(cells), measured)), None)] == [
        "point_reads-orm-8-rows=10-psycopg", "point_reads-orm-8-rows=20-psycopg", "bulk_inserts-orm-8-psycopg",
    ]  # fmt: skip


def test_names_are_safe_and_differ_whatever_the_result_file_says() -> None:
    scenarios = ("../../x", "/../../x", "a b", "A B", "", "x" * 300, "x" * 301, ".hidden", "-o", "é\n")
    cells = [cell(name, params={}) for name in scenarios]
    measured = [one for index in range(len(cells)) for one in measurements({"psycopg": 360.0}, cell=index, blocks=1)]
    names = [one.name for one in series(analyse(run(plan(cells), measured)), None)]

    assert len({name.lower() for name in names}) == len(scenarios)
    assert all(re.fullmatch(r"[A-Za-z0-9_=][A-Za-z0-9_.=-]{,200}", name) for name in names)


def test_an_open_loop_has_response_and_service_times() -> None:
    slow, quick = Histogram(), Histogram()
    slow.record_all([5_000_000, 9_000_000])
    quick.record_all([1_000_000, 2_000_000])
    measured: Measurement = msgspec.structs.replace(
        measurement("psycopg", 1.0), latency=slow.counts, service=quick.counts, max_ns=9_000_000, sum_ns=14_000_000
    )
    response, service = series(analyse(run(paced(plan(arms=["psycopg"])), [measured])), None)

    assert [response.name, service.name] == ["point_reads-orm-8-psycopg-response", "point_reads-orm-8-psycopg-service"]
    assert facts(text(response))["Max"] == 9.0
    assert facts(text(response))["Mean"] == 7.0
    assert facts(text(service))["Max"] == pytest.approx(2.0, rel=0.01)
    assert facts(text(service))["Mean"] == pytest.approx(1.5, rel=0.01)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="no driver 'asyncgp' in this run; did you mean asyncpg"):
        series(analyse(run()), "asyncgp")
    with pytest.raises(UsageError, match="nothing to export: no driver has"):
        series(analyse(run(measured=[])), None)
    with pytest.raises(UsageError, match="nothing to export: asyncpg has"):
        series(analyse(run(measured=measurements({"psycopg": 360.0}))), "asyncpg")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_a_file_per_cell_and_driver(dbbench: Cli, tmp_path: Path) -> None:
    store(run(), tmp_path / "run.jsonl")
    done = dbbench("export", "run.jsonl", "--format", "hgrm", "-o", "latencies/")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "latencies").iterdir()) == [
        f"point_reads-orm-8-{driver}.hgrm" for driver in ("asyncpg", "psycopg", "psycopg2")
    ]
    one = dbbench("export", "run.jsonl", "--format", "hgrm", "--driver", "asyncpg")
    file = dbbench("export", "run.jsonl", "--format", "hgrm", "--driver", "asyncpg", "-o", "one.hgrm")
    assert file.stdout == ""
    assert one.stdout == (tmp_path / "one.hgrm").read_text()
    assert one.stdout == (tmp_path / "latencies" / "point_reads-orm-8-asyncpg.hgrm").read_text()
    assert parsed(one.stdout)[5].value == pytest.approx(0.212, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "a file for every cell and driver, here 3: name a folder for them with -o DIR/, or"),
        (("-o", "all.hgrm"), "choose a driver with --driver"),
        (("--driver", "asyncgp"), "did you mean asyncpg?"),
    ],
)
def test_several_distributions_go_to_a_folder_only(
    dbbench: Cli, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    store(run(), tmp_path / "run.jsonl")
    done = dbbench("export", "run.jsonl", "--format", "hgrm", *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_driver_goes_with_suites_and_distributions_only(dbbench: Cli, tmp_path: Path) -> None:
    store(run(), tmp_path / "run.jsonl")
    done = dbbench("export", "run.jsonl", "--format", "csv", "--driver", "asyncpg")

    assert (done.returncode, done.stderr) == (2, "dbbench: --driver goes with --format pyperf or hgrm\n")
