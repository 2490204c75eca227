"""Commands are killed and interrupted at random moments; `benchmarks/faults.py` does it as often as one likes."""

import os
import subprocess
import sys

from conftest import REPOSITORY
from pgbouncers import pgbouncer


def test_random_kills_and_double_signals_lose_and_leave_nothing() -> None:
    pgbouncer()
    each = os.environ.get("DBBENCH_FAULTS", "2")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / "faults.py", "--kills", each, "--signals", each],
        capture_output=True,
        text=True,
        timeout=60 + 120 * int(each),
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 not as promised; what is the user's is as it was: True" in done.stdout
