"""Which CPUs are kept awake, and what speaks against it."""

import os
from pathlib import Path

import pytest

from dbbench.choices import IdleMode
from dbbench.engine import idle
from dbbench.plan import Placement

SPLIT = Placement("split", client_cpus=[1], server_cpus=[0])


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with four CPUs, without control groups: folders for /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(idle, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(idle, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    return tmp_path


def process(machine: Path, name: str, groups: str, comm: str = "python") -> None:
    """A process with its control groups."""
    (machine / "proc" / name).mkdir(parents=True)
    (machine / "proc" / name / "cgroup").write_text(groups)
    (machine / "proc" / name / "comm").write_text(f"{comm}\n")


@pytest.mark.parametrize(
    ("mode", "place", "local", "cpus"),
    [
        (None, SPLIT, True, [0, 1]),
        ("awake", SPLIT, True, [0, 1]),
        ("sleep", SPLIT, True, None),
        (None, Placement("free"), True, [0, 1, 2, 3]),
        (None, Placement("split", client_cpus=[3]), True, [0, 1, 2, 3]),  # the user's server is anywhere
        (None, Placement("split", client_cpus=[3]), False, None),
        ("awake", Placement("split", client_cpus=[3]), False, [3]),
    ],
)
def test_cpus_of_client_and_server_are_kept_awake(
    mode: IdleMode | None, place: Placement, local: bool, cpus: list[int] | None
) -> None:
    chosen = idle.choose(mode, place, local=local)

    assert chosen.awake_cpus == cpus
    assert chosen.idle_note == ""
    assert (chosen.mode, chosen.client_cpus, chosen.server_cpus) == (place.mode, place.client_cpus, place.server_cpus)


def test_a_cpu_that_client_and_server_share_does_not_halt() -> None:
    """A spinner would only take time from the server there."""
    shared = Placement("shared", client_cpus=[1], server_cpus=[1])

    assert idle.choose(None, shared, local=True) == shared
    asked = idle.choose("awake", shared, local=True)
    assert asked.awake_cpus is None
    assert "take turns on one CPU" in asked.idle_note


@pytest.mark.parametrize(
    ("groups", "file", "content", "limited"),
    [
        ("0::/a/b\n", "a/b/cpu.max", "150000 100000\n", True),
        ("0::/a/b\n", "a/cpu.max", "50000 100000\n", True),  # of the group above
        ("0::/a/b\n", "a/b/cpu.max", "max 100000\n", False),
        ("0::/\n", "cpu.max", "200000 100000\n", True),  # in a container, which sees its own group as the root
        ("3:cpu,cpuacct:/a\n1:memory:/m\n", "cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n", True),
        ("3:cpu,cpuacct:/a\n1:memory:/m\n", "cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n", False),
    ],
)
def test_a_quota_is_not_spent_on_staying_awake(
    machine: Path, groups: str, file: str, content: str, limited: bool
) -> None:
    process(machine, "self", groups)
    path = machine / "cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)
    chosen = idle.choose("awake", SPLIT, local=True)

    assert (chosen.awake_cpus is None) == limited
    assert ("quota" in chosen.idle_note) == limited


@pytest.mark.parametrize(
    ("groups", "comm", "same"),
    [
        ("0::/user\n", "postgres", True),
        ("0::/system/postgresql\n", "postgres", False),
        ("0::/user\n", "bash", False),  # the server numbers its processes in a namespace of its own
    ],
)
def test_a_server_in_another_control_group_would_have_to_share_its_cpu(
    machine: Path, groups: str, comm: str, same: bool
) -> None:
    process(machine, "self", "0::/user\n")
    process(machine, "77", groups, comm)
    chosen = idle.choose(None, SPLIT, local=True, server_pid=77)

    assert (chosen.awake_cpus is not None) == same
    assert ("another control group" in chosen.idle_note) == (not same)


@pytest.mark.parametrize(("enabled", "paced", "sleeps"), [("1", True, True), ("1", False, False), ("0", True, False)])
def test_idle_clients_leave_a_spinner_too_much_where_sessions_share_cpus(
    machine: Path, enabled: str, paced: bool, sleeps: bool
) -> None:
    (machine / "proc/sys/kernel").mkdir(parents=True)
    (machine / "proc/sys/kernel/sched_autogroup_enabled").write_text(f"{enabled}\n")
    chosen = idle.choose("awake", SPLIT, local=True, paced=paced)

    assert (chosen.awake_cpus is None) == sleeps
    assert ("session" in chosen.idle_note) == sleeps


def test_a_platform_without_the_class_lets_cpus_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_IDLE")

    assert "no scheduling class" in idle.choose(None, SPLIT, local=True).idle_note


def test_where_the_class_is_refused_cpus_sleep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused = tmp_path / "refused.py"
    refused.write_text("raise PermissionError")
    monkeypatch.setattr(idle, "_SPINNER", refused)

    assert "refused here" in idle.choose(None, SPLIT, local=True).idle_note
