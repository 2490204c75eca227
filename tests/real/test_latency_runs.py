"""Runs with network latency, held against the model."""

import json
from typing import Any

import pytest
from conftest import Cli


@pytest.mark.alone
def test_latency_adds_up_to_round_trips(measure: Cli) -> None:
    """Two latencies in one run: what a round-trip time of 5 ms adds is what the counted round trips say."""
    done = measure(
        "run",
        "point_reads",
        "--layer",
        "core,raw",
        "--rtt",
        "0,5ms",
        "--blocks",
        "1",
        "--rounds",
        "5",
        "--format",
        "json",
        "--quiet",
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    assert {row["params"].rpartition(" ")[2] for row in made["cells"]} == {"rtt=0", "rtt=5ms"}
    assert len(made["latency"]) == 2 * 3
    for one in made["latency"]:
        assert one["round_trips"] >= 3
        slow = one["lines"][1]
        assert slow["measured_us"] >= one["round_trips"] * 4900, "it is tuned to what clients see, with a little noise"
        assert slow["measured_us"] < 1.5 * slow["predicted_us"], "nothing waits twice"
