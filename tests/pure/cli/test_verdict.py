"""How a gate ends once it has its verdict: what is printed and written, and what becomes of it where that fails."""

import os
import sys
from pathlib import Path

import pytest
from processes import SMALL_BYTES, in_a_process_with_small_files

from dbbench.cli.gate import counted_verdict
from dbbench.commands.wire.changes import ROUND_TRIPS, Change
from dbbench.errors import ExitCode

GREW = Change("totals", "orm", "", "psycopg2", ROUND_TRIPS, 4, 11, grew=True, because="")
SHRANK = Change("totals", "orm", "", "psycopg2", ROUND_TRIPS, 11, 4, grew=False, because="")


@pytest.fixture(autouse=True)
def _no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_what_grew_fails_and_what_shrank_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert counted_verdict([SHRANK, GREW]).end("table", []) == ExitCode.REGRESSION
    assert "4 -> 11 round trips per operation" in capsys.readouterr().out
    assert counted_verdict([SHRANK]).end("table", []) == ExitCode.OK


def test_a_report_that_cannot_be_written_costs_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    reports = [("json", tmp_path / "file" / "wire.json"), ("markdown", tmp_path / "wire.md")]

    assert counted_verdict([GREW]).end("csv", reports) == ExitCode.REGRESSION
    assert "wire.json cannot be written" in capsys.readouterr().err
    assert "11 round trips per operation" in (tmp_path / "wire.md").read_text(), "the others are written"
    assert counted_verdict([]).end("csv", reports) == ExitCode.DEGRADED


def test_a_full_disk_costs_no_verdict(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever is at the other end of a pipe may also have seen enough."""
    for found, code in (([GREW], ExitCode.REGRESSION), ([], ExitCode.DEGRADED)):
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert counted_verdict(found).end("table", []) == code
        assert "the output cannot be written: No space left on device" in capfd.readouterr().err


def test_a_summary_that_cannot_be_written_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))

    assert counted_verdict([GREW]).end("table", []) == ExitCode.REGRESSION
    assert counted_verdict([]).end("table", []) == ExitCode.OK
    assert f"GITHUB_STEP_SUMMARY: {tmp_path} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_verdict_needs_no_stream(stream: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shell closed it, or its reader has gone: annotations go to stderr, the report to stdout."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as unread:
        for each in (None, unread):
            monkeypatch.setattr(sys, stream, each)
            assert counted_verdict([GREW] * 500).end("json", [("table", tmp_path / "x.txt")]) == ExitCode.REGRESSION
            assert counted_verdict([]).end("json", []) == ExitCode.OK
    assert "FAIL" in (tmp_path / "x.txt").read_text()


def test_a_summary_on_a_full_disk_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is one for all steps of a job."""
    summary = tmp_path / "summary.md"
    summary.write_text("x" * (SMALL_BYTES - 10))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    def act() -> None:
        assert counted_verdict([GREW]).end("table", []) == ExitCode.REGRESSION

    assert in_a_process_with_small_files(act) == 0
    assert summary.read_text() == "x" * (SMALL_BYTES - 10)


def test_a_report_replaces_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    report = tmp_path / "wire.json"
    report.write_text("old")

    def act() -> None:
        assert counted_verdict([GREW] * 500).end("table", [("json", report)]) == ExitCode.REGRESSION

    assert in_a_process_with_small_files(act) == 0
    assert report.read_text() == "old"
    act()
    assert len(report.read_text()) > SMALL_BYTES
    assert list(tmp_path.iterdir()) == [report]


def test_a_workflow_gets_its_summary_and_annotations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    reports = [("annotations", tmp_path / "annotations.txt")]

    assert counted_verdict([GREW]).end("json", reports) == ExitCode.REGRESSION
    written = capsys.readouterr().err
    assert written.startswith("::error title=dbbench gate --wire%3A FAIL in totals%2C psycopg2::")
    assert (tmp_path / "annotations.txt").read_text() == written
    assert "FAIL" in (tmp_path / "summary.md").read_text()
