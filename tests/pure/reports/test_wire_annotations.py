"""What an exact gate writes for GitHub."""

from dbbench.commands.wire.changes import ROUND_TRIPS, Change
from dbbench.reports import report
from dbbench.reports.gate.annotations import MAX_OF_A_KIND

REPORT = report("gate --wire", "annotations")


def change(scenario: str = "point_reads", *, head: float = 4, because: str = "") -> Change:
    return Change(scenario, "orm", "", "asyncpg", ROUND_TRIPS, 3, head, grew=head > 3, because=because)


def test_what_grew_is_an_error() -> None:
    assert REPORT([change(because="100% more,\na ROLLBACK"), change(head=2)]) == (
        "::error title=dbbench gate --wire%3A FAIL in point_reads%2C asyncpg::"
        "point_reads, asyncpg, orm: 3 -> 4 round trips per operation: 100%25 more, a ROLLBACK\n"
    )


def test_a_gate_that_passes_is_a_notice() -> None:
    assert REPORT([]) == ("::notice title=dbbench gate --wire%3A PASS::head and base put the same on the wire.\n")
    assert REPORT([change(head=2)]).startswith("::notice title=dbbench gate --wire%3A PASS::")


def test_github_shows_so_many_and_is_told_how_many_more_there_are() -> None:
    names = [f"s{number}" for number in range(MAX_OF_A_KIND + 1)]
    lines = REPORT([change(name) for name in names]).splitlines()

    assert len(REPORT([change(name) for name in names[1:]]).splitlines()) == MAX_OF_A_KIND
    assert len(lines) == MAX_OF_A_KIND
    assert lines[-1].endswith("::2 more places: the report of the gate has all of them")
