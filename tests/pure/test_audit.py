"""`.ci/audit`: what was not looked up counts as a failure. A stand-in plays pip-audit, and the service behind it."""

import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

HASH = f"--hash=sha256:{'0' * 64}"
LOCK = f"""\
# how it was made
asyncpg==0.32.0 \\
    {HASH} \\
    {HASH}
tzdata==2026.6 ; sys_platform == 'win32' \\
    {HASH}
"""
PROGRAM = """#!{python}
import json, pathlib, re, sys
told = json.loads(pathlib.Path({told!r}).read_text())
requirements = pathlib.Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text()
with open({asked!r}, "a") as asked:
    print(json.dumps([sys.argv[1:-1], requirements]), file=asked)
pins = re.findall(r"^(\\S+)==(\\S+)", requirements, re.MULTILINE)
skipped = [name for name, _ in pins if name in told["skips"]]
if skipped and "--strict" in sys.argv and told["strict"]:
    sys.exit(f"{{skipped[0]}}: not found, and could not be audited")
dependencies = [
    {{"name": name, "skip_reason": "not found"}} if name in skipped else
    {{"name": name, "version": version, "vulns": [{{"id": each}} for each in told["vulnerable"].get(name, [])]}}
    for name, version in pins if name not in told["leaves_out"]
]
print(json.dumps({{"dependencies": dependencies, "fixes": []}}))
sys.exit(told["code"] or any(each.get("vulns") for each in dependencies))
"""
Audit = Callable[..., int]


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Run .ci/audit on a lock, with a pip-audit that does as it is told: the exit code."""
    main: Any = runpy.run_path(str(REPOSITORY / ".ci" / "audit"))["main"]

    def run(lock: str = LOCK, **told: object) -> int:
        service = {
            "strict": True,
            "skips": [],
            "leaves_out": [],
            "vulnerable": {"pyyaml": ["CVE-2020-1747"]},
            "code": 0,
        }
        (tmp_path / "told.json").write_text(json.dumps(service | told))
        (tmp_path / "lock.txt").write_text(lock)
        program = tmp_path / "pip-audit"
        program.write_text(
            PROGRAM.format(python=sys.executable, told=str(tmp_path / "told.json"), asked=str(tmp_path / "asked"))
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return int(main([str(tmp_path / "lock.txt")]))

    return run


def test_every_package_is_looked_up_with_its_hashes(
    audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit() == 0

    output = capsys.readouterr()
    arguments, requirements = json.loads((tmp_path / "asked").read_text().splitlines()[-1])
    assert output.out.endswith("lock.txt: 2 packages\nall looked up, no known vulnerabilities\n")
    assert output.err == ""
    assert {"--strict", "--require-hashes", "--disable-pip"} <= set(arguments)
    assert requirements.splitlines() == [
        f"asyncpg==0.32.0     {HASH}     {HASH}",
        f"tzdata==2026.6     {HASH}",  # on any system
    ]


def test_a_vulnerable_package_is_named(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(vulnerable={"pyyaml": ["CVE-2020-1747"], "asyncpg": ["PYSEC-2026-1", "PYSEC-2026-2"]}) == 1
    assert capsys.readouterr().err.endswith("lock.txt: asyncpg 0.32.0: PYSEC-2026-1, PYSEC-2026-2\n")


@pytest.mark.parametrize("how", ["skips", "leaves_out"])
def test_a_package_that_was_not_looked_up_is_a_failure(
    audit: Audit, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(**{how: ["tzdata"]}, strict=False) == 1
    assert capsys.readouterr().err.endswith("lock.txt: tzdata 2026.6: not looked up\n")


def test_no_answer_is_a_failure(audit: Audit, capfd: pytest.CaptureFixture[str]) -> None:
    assert audit(skips=["tzdata"]) == 1
    assert capfd.readouterr().err == (
        "tzdata: not found, and could not be audited\npip-audit gave no answer, and ended with 1\n"
    )


def test_a_failure_of_pip_audit_is_one_whatever_it_answers(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(code=2, vulnerable={"pyyaml": ["CVE-2020-1747"]}) == 1
    assert capsys.readouterr().err == "pip-audit ended with 2\n"


@pytest.mark.parametrize("service", [{"vulnerable": {}}, {"leaves_out": ["pyyaml"]}])
def test_a_service_that_misses_a_known_bad_release_is_a_failure(
    audit: Audit, service: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(**service) == 1
    assert capsys.readouterr().err == ("the service finds nothing in pyyaml 5.3, which has known vulnerabilities\n")


@pytest.mark.parametrize(
    ("lock", "fault"),
    [
        ("", "no packages in it"),
        ("asyncpg==0.32.0\n", "not one version with hashes: asyncpg==0.32.0"),
        (f"asyncpg>=0.32 {HASH}\n", "not one version with hashes: asyncpg>=0.32"),
        (f"{LOCK}--extra-index-url somewhere\n", "not one version with hashes: --extra-index-url somewhere"),
    ],
)
def test_a_lock_that_is_none_is_a_failure(
    audit: Audit, lock: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(lock) == 1
    assert fault in capsys.readouterr().err


def test_without_pip_audit_nothing_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main: Any = runpy.run_path(str(REPOSITORY / ".ci" / "audit"))["main"]
    monkeypatch.setenv("PATH", "")

    assert main([]) == 1
    assert "pip-audit" in capsys.readouterr().err


def test_it_reads_all_locks_of_the_repository() -> None:
    script = runpy.run_path(str(REPOSITORY / ".ci" / "audit"))
    locks = [*REPOSITORY.glob("requirements*.txt"), *(REPOSITORY / ".ci").glob("requirements*.txt")]

    assert sorted(script["LOCKS"]) == sorted(str(lock.relative_to(REPOSITORY)) for lock in locks)
    for lock in script["LOCKS"]:
        text = (REPOSITORY / lock).read_text(encoding="utf-8")
        assert len(script["pins"](text)) == text.count("==") - text.count(" == ")
