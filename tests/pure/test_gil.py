"""Whether Python's lock is there, and what is said of it."""

import sys
import sysconfig

import builders
import msgspec
import pytest

from dbbench.commands.stored.fingerprint import fingerprint
from dbbench.records import Run
from dbbench.reports.run.footer import footer
from dbbench.worker import gil


def of(state: str) -> Run:
    made = builders.run()
    facts = {arm: {**known, **({gil.FACT: state} if state else {})} for arm, known in made.header.drivers.items()}
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, drivers=facts))


@pytest.mark.parametrize(("free", "on", "state"), [(0, True, ""), (1, True, "enabled"), (1, False, "disabled")])
def test_only_a_build_that_can_do_without_it_says_anything(
    free: int, on: bool, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: {"Py_GIL_DISABLED": free}[name])
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)

    assert gil.state() == state


@pytest.mark.parametrize("state", ["enabled", "disabled, enabled under load"])
def test_a_free_threaded_python_with_its_lock_is_warned_of(state: str) -> None:
    facts = footer(of(state), [])

    assert fingerprint(of(state))["GIL"] == state
    assert f"GIL {state}" in dict(facts)["drivers"]
    (warning,) = [text for label, text in facts if label == "warning"]
    assert warning.startswith("psycopg, asyncpg and psycopg2: a free-threaded Python ran with the GIL, which an ext")


def test_without_the_lock_there_is_nothing_to_warn_of() -> None:
    facts = footer(of("disabled"), [])

    assert "GIL disabled" in dict(facts)["drivers"]
    assert "warning" not in dict(facts)
    assert "GIL" not in fingerprint(of("")) | dict(footer(of(""), []))
