"""A whole gate as its users run it: real environments, a real verdict, and everything that is written of it."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import Cli
from gates import LAYOUT, SLOW_IN_HEAD, STEADY, interpreters, leftovers

from dbbench.commands.gate.judging import FAIL_ERROR, LOOKS

CELL_KEYS = [
    "scenario", "layer", "sessions", "driver", "metric", "loss", "loss_low", "loss_high", "p_adjusted", "verdict",
    "params",
]  # fmt: skip


@pytest.mark.alone
def test_what_is_slower_in_head_fails_and_nothing_else(
    dbbench: Cli, measure: Cli, pythons: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "slowed.py").write_text(SLOW_IN_HEAD)
    (tmp_path / "steady.py").write_text(STEADY)
    before = leftovers()
    done = measure(
        "gate", "slowed.py", "steady.py", *interpreters(pythons), *LAYOUT, "-d", "psycopg2", "--budget", "100",
        "--format", "json", "--report", "junit=gate.xml", "--report", "csv=out/gate.csv", "-o", "g.jsonl",
        "--report", "bmf=/proc/nowhere/bmf.json",
        GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )  # fmt: skip
    document = json.loads(done.stdout)
    cells = {cell["scenario"]: cell for cell in document["cells"]}

    assert done.returncode == 1, done.stderr
    assert document["schema"] == 1
    assert document["verdict"] == "fail"
    # It ends at a look; on a machine that is several times slower than usual, with its time.
    assert document["blocks"] in {look.blocks for look in LOOKS} or document["run"]["measured_s"] > 80
    assert [list(cell) for cell in document["cells"]] == [CELL_KEYS] * 2
    assert cells["slowed"]["verdict"] == "fail"
    assert 0.3 < cells["slowed"]["loss_low"] <= cells["slowed"]["loss"] <= cells["slowed"]["loss_high"]
    assert cells["slowed"]["p_adjusted"] <= FAIL_ERROR
    assert cells["steady"]["verdict"] in {"pass", "inconclusive"}
    assert "the installed packages are the same" in done.stderr
    assert f"after {document['blocks']} blocks" in done.stderr

    assert "/proc/nowhere/bmf.json cannot be written" in done.stderr

    assert "::error" in done.stderr
    summary = (tmp_path / "summary.md").read_text()
    assert "FAIL" in summary
    assert "slowed" in summary
    tree = ET.parse(tmp_path / "gate.xml")  # noqa: S314 - our own file
    assert [case.get("classname") for case in tree.iter("testcase") if case.find("failure") is not None] == [
        "dbbench.slowed"
    ]
    written = list(csv.DictReader(io.StringIO((tmp_path / "out" / "gate.csv").read_text())))
    assert [row["verdict"] for row in written] == [cell["verdict"] for cell in document["cells"]]

    again = json.loads(dbbench("show", "g.jsonl", "--format", "json").stdout)
    assert again["cells"] == document["cells"]
    assert "dbbench gate: FAIL" in dbbench("show", "g.jsonl").stdout
    exported = dbbench("export", "g.jsonl", "--format", "csv")
    assert exported.stdout == (tmp_path / "out" / "gate.csv").read_text()
    assert dbbench("export", "g.jsonl", "--format", "junit").stdout == (tmp_path / "gate.xml").read_text()
    refused = dbbench("export", "g.jsonl", "--format", "pyperf")
    assert refused.returncode == 2
    assert "a result of dbbench gate can be exported as csv, json" in refused.stderr
    assert "gate, which has compared" in dbbench("compare", "g.jsonl", "g.jsonl").stderr
    assert "gate" in dbbench("history", ".").stdout
    assert leftovers() <= before
