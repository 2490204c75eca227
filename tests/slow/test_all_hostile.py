"""Inputs that nobody means well: a quarter of them, or with DBBENCH_FULL=1 all; `pytest -s` prints how they ended."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hostile
import pytest
from conftest import Cli

SHARE = 1 if os.environ.get("DBBENCH_FULL") else 4


def told(family: str, codes: Counter[int]) -> None:
    """Print how the inputs of a family ended."""
    ends = ", ".join(f"{number:,} with {int(code)}" for code, number in sorted(codes.items()))
    print(f"\n{codes.total():,} {family}: {ends}")


def test_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told("command lines", Counter(map(hostile.parsed_or_refused, hostile.command_lines(5_000 // SHARE))))


def test_command_lines_as_processes(tmp_path: Path) -> None:
    """Those that are refused: the others would measure."""
    codes: Counter[int] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        lines = [line for line in hostile.command_lines(150 // SHARE, seed=12) if hostile.parsed_or_refused(line) == 2]
    for line in lines:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dbbench", *line],
            cwd=tmp_path, capture_output=True, text=True, errors="surrogateescape", timeout=60, check=False,
        )  # fmt: skip
        codes[done.returncode] += 1
        assert (done.returncode, done.stdout) == (2, ""), line
        assert done.stderr.strip(), line
        assert "Traceback" not in done.stderr, line
    told("command lines as processes", codes)


def test_urls(dbbench: Cli) -> None:
    told("URLs", Counter(hostile.judge_url(url, dbbench) for url in hostile.urls(1_000 // SHARE)))


def test_result_files(dbbench: Cli, tmp_path: Path) -> None:
    files = enumerate(hostile.result_files(2_000 // SHARE))
    told("result files", Counter(hostile.judge_file(content, tmp_path, dbbench, number) for number, content in files))


def test_scenarios(measure: Cli, tmp_path: Path) -> None:
    codes: Counter[int] = Counter()
    for number, (name, source) in enumerate(hostile.scenarios(150 // SHARE)):
        codes[hostile.judge_scenario(source, tmp_path, measure, number)] += 1
        (tmp_path / "scenario.py").unlink(missing_ok=True)
        assert name
    told("scenarios", codes)
