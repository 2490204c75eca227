"""A few inputs that nobody means well, of each family; tests/slow has all of them."""

from pathlib import Path

import hostile
import pytest
from conftest import Cli

from dbbench.errors import UsageError
from dbbench.server.target import parse_url


def test_a_command_line_is_understood_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codes = {hostile.parsed_or_refused(line) for line in hostile.command_lines(400)}

    assert codes == {0, 2}


@pytest.mark.parametrize(
    "line",
    [
        ["run", "--rate", "inf"], ["run", "--rate", "nan"], ["run", "--rate", "1e400"],
        ["run", "--pool-timeout", "inf"], ["run", "--pool-timeout", "nan"],
        ["run", "--budget", "9" * 400], ["run", "--sessions", "9" * 30],
        ["run", "--sessions", "9" * 5000], ["run", "--sessions", "\uff11"], ["run", "--sessions", "1_0"],
        ["run", "--blocks", "10001"], ["run", "--pool-size", "9" * 30], ["run", "--seed", "9" * 30],
        ["run", "--driver-set", "asyncpg.statement_cache_size=" + "9" * 30], ["run", "--statement-timeout", "0.0001"],
        ["run", "--driver-set", "asyncpg.statement_cache_size=\uff11"], ["run", "--think", "9" * 30 + "ms"],
        ["capacity", "--slo", "p99<10ms", "--max-rate", "inf"], ["selfcheck", "--seconds", "9" * 30],
        ["run", "--set", "rows=\udcff"], ["run", "\udcff.py"], ["show", "\udcff"], ["run", "x" * 5000],
        ["run", "--project", "x" * 5000], ["run", "-o", "\udcff"],
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert hostile.parsed_or_refused(line) == 2


@pytest.mark.parametrize("name", ["*", "[", "?", "**/x", "x" * 5000])
def test_a_name_is_no_pattern(name: str, dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "20261123T031500Z-aaaaaa.jsonl").touch()
    done = dbbench("show", name)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"dbbench: {name[:100]}")
    assert len(done.stderr) < 3000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"tool = 5", "[tool] must be a table"),
        (b"[tool]\ndbbench = 5", "[tool.dbbench] must be a table"),
        (b"[tool.dbbench]\nblocks = true", "blocks = true: blocks takes a value"),
        (b"[tool.dbbench]\nquiet = 'yes'", "quiet = yes: quiet takes true or false"),
        (b"[tool.dbbench]\nrate = nan", "--rate"),
        (b'[tool.dbbench]\noutput = "a\\u0000b"', "output has a null byte"),
        (b'[tool.dbbench]\ndriver = ["a\\u0000b"]', "driver has a null byte"),
        (b'[tool.dbbench.set]\nrows = "a\\u0000b"', "set has a null byte"),
        (b"x = " + b"9" * 5000, "cannot be read: Exceeds the limit"),
        (b"x = " + b"[" * 5000, "cannot be read: "),
        (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec"),
        (b"\x00" * (17 << 20), "is too large to be read: more than 16 MB"),
    ],
    ids=range(12),
)
def test_a_pyproject_may_hold_anything(content: bytes, message: str, dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    done = dbbench("run", "--budget", "0")  # which is refused where the file is not

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_url_shows_a_part_of_its_password() -> None:
    kinds = set()
    for url in hostile.urls(1000):
        try:
            kinds.add("understood")
            assert hostile.CANARY not in f"{parse_url(url, '--url')!r}", url
        except UsageError as error:
            kinds.add("refused")
            assert hostile.CANARY not in str(error), url  # noqa: PT017 - being understood is as good

    assert kinds == {"understood", "refused"}


@pytest.mark.parametrize(
    "url",
    ["postgresql://m/e:{}@h/d", "postgresql://u:half@{}/x@h/d", "postgresql://m/e:{}?x@h/d", "postgresql://u:a?x@{}@h"],
)
def test_a_password_that_is_not_quoted_is_taken_for_nothing_else(url: str) -> None:
    with pytest.raises(UsageError, match="write an @ in a user or password as %40, and a / as %2F") as refused:
        parse_url(url.format("c4n4ry"), "--url")
    assert "c4n4ry" not in str(refused.value)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_is_in_its_range(port: str) -> None:
    with pytest.raises(UsageError, match="a port is a number from 1 to 65535"):
        parse_url(f"postgresql://u@h:{port}/d", "--url")


def test_a_result_file_is_read_or_refused(dbbench: Cli, tmp_path: Path) -> None:
    files = hostile.result_files(120)
    codes = {hostile.judge_file(content, tmp_path, dbbench, number) for number, content in enumerate(files)}

    assert {0, 2} <= codes


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("PARAMS = {'n': 10 ** 30}", "PARAMS['n'] must fit into 64 bits"),
        ("PARAMS = {'n': float('nan')}", "PARAMS['n'] must be a finite number"),
        ("PARAMS = {'n': '\\udcff'}", "PARAMS['n'] is not UTF-8"),
        ("PARAMS = {'\\udcff': 1}", "PARAMS has a name that is not UTF-8"),
        ("PARAMS = {'n': type('I', (int,), {})(3)}", "PARAMS['n'] must be a bool, int, float or str"),
        ("SESSIONS = (10 ** 30,)", "SESSIONS must be a tuple of positive whole numbers"),
        ("def prepare(connection, params): yield", "prepare must be without `yield`"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise BaseException('x')", "BaseException: x"),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "scenario.py:1: E"),
    ],
)
def test_a_scenario_that_cannot_be_one_is_refused_with_its_line(
    source: str, message: str, dbbench: Cli, tmp_path: Path
) -> None:
    (tmp_path / "scenario.py").write_text(f"{source}\nasync def raw(db, params, rng): return 1\n")
    done = dbbench("list", "scenarios", "scenario.py")

    assert done.returncode == 2
    assert done.stderr.startswith("dbbench: scenario.py:1: ")
    assert message in done.stderr
