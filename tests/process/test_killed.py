"""What is left of a search that is killed."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import Cli, url_of
from processes import alive, descendants, eventually

from dbbench import result_file
from dbbench.address import Address
from dbbench.records import Search


def test_a_search_that_is_killed_keeps_its_trials(dbbench: Cli, server: Address, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "dbbench", "capacity", "--slo", "p50<50ms", "--driver", "psycopg2",
         "--set", "rows=50", "--trial", "1s", "-o", "c.jsonl", "--url", url_of(server), "--allow-production"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "trial 1, psycopg2: " in line and "(p50" in line:
                break
        workers = descendants(process.pid)
        process.kill()
        process.communicate(timeout=60)
    eventually(lambda: not alive(workers), "the workers end")
    stored = result_file.read_any(tmp_path / "c.jsonl")
    shown = dbbench("show", "c.jsonl")

    assert isinstance(stored, Search)
    assert [trial.arm for trial in stored.trials][:1] == ["psycopg2"]
    assert stored.end is None
    assert "the run is incomplete: its file does not say how it ended" in stored.warnings
    assert shown.returncode == 0, shown.stderr
    assert "psycopg2 had " in shown.stdout
    assert "when the search ended" in " ".join(shown.stdout.split())
