"""What is read from the kernel's counters, and what is said of it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dbbench.engine import busy
from dbbench.engine.busy import Look, Use

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Counters of two CPUs, of which this process may use the first: seconds, by the kernel's columns."""
    monkeypatch.setattr(busy, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})

    def write(**seconds: float) -> None:
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
        first = " ".join(str(round(seconds.get(name, 0) * TICKS)) for name in names)
        (tmp_path / "stat").write_text(f"cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 {first}\ncpu1 {' '.join('7' * 10)}\nintr 1\n")

    return write


@pytest.mark.parametrize("column", ["user", "nice", "system", "irq", "softirq", "steal"])
def test_whatever_keeps_a_cpu_from_being_free_counts(counters: Callable[..., None], column: str) -> None:
    counters()
    began, look = time.monotonic(), Look()
    counters(**{column: 0.1})
    found = look.end(0.05)

    assert found is not None
    assert found.of == 1
    assert found.cpus == pytest.approx(0.1 / (time.monotonic() - began), rel=0.5)
    assert found.busy


@pytest.mark.parametrize("column", ["idle", "iowait", "guest", "guest_nice"])
def test_idle_time_and_what_is_counted_twice_do_not(counters: Callable[..., None], column: str) -> None:
    counters()
    look = Look()
    counters(**{column: 0.1})

    assert look.end(0.05) == Use(0.0, 1)


def test_what_this_process_uses_itself_does_not(counters: Callable[..., None]) -> None:
    counters()
    look, own = Look(), time.process_time()
    while time.process_time() - own < 0.1:
        pass
    counters(user=0.1)

    assert look.end(0.05) == Use(0.0, 1)


def test_a_moment_is_looked_at_again(counters: Callable[..., None]) -> None:
    counters()
    first = Look()
    counters(user=5.0)
    found = busy.certain(first.end(0.01))

    assert found == Use(0.0, 1)


def test_where_there_are_no_counters_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "_STAT", Path("/no/such/file"))

    assert busy.look() is None
    assert busy.warning(None) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Use(0.29, 2), ""),
        (Use(0.8, 2), "other processes use 0.8 of 2 CPUs: blocks take longer, and more stays undecided; end them, or "),
        (Use(0.31, 1), "other processes use 0.3 of 1 CPU: "),
        (Use(2.0, 64), ""),
    ],
)
def test_a_warning_names_what_is_used_and_the_way_out(found: Use, said: str) -> None:
    assert busy.warning(found).startswith(said)
    assert bool(busy.warning(found)) == bool(said)
