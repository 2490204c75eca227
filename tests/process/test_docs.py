"""What the documents say is so: the examples, the commands, the links."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY, Cli, url_of
from pgbouncers import pgbouncer
from typer.testing import CliRunner

from dbbench.address import Address
from dbbench.analysis.rows import COLUMNS
from dbbench.cli.app import app
from dbbench.commands.selfcheck import steps
from dbbench.commands.selfcheck.result import SelfCheck

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Code blocks of a language in all documents, with the document's name."""
    for document in DOCUMENTS:
        for match in re.finditer(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            yield document.name, match[1]


def documented_commands() -> Iterator[str]:
    """Every `dbbench ...` line of the documents' shell blocks and of --help's examples, once."""
    seen: set[str] = set()
    for name, block in blocks("sh"):
        if name != "cli.md":
            seen.update(line.partition("#")[0].strip() for line in block.splitlines() if line.startswith("dbbench "))
    for command in app.registered_commands:
        examples = re.findall(r"^dbbench .*?$", command.epilog or "", re.MULTILINE)
        seen.update(example.partition("   (")[0].strip() for example in examples)
    return iter(sorted(seen))


def test_every_csv_column_is_documented() -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text()
    columns = [column for column in COLUMNS if f"`{column}`" not in text]
    assert columns == ["p50_us", "p90_us", "p95_us", "p99_us", "p999_us"]  # written as `mean_us` ... `max_us`


def test_documents_link_to_what_is_there() -> None:
    for document in (*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", document.read_text()):
            path = document.parent / target if target else document
            assert path.exists(), (document.name, target)
            assert not anchor or anchor in anchors(path), (document.name, target, anchor)


def anchors(document: Path) -> list[str]:
    """What a link to one of its headings ends with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def local(server: Address) -> str:
    """A server that runs already."""
    return f"postgresql://{server.user}@/{server.database}?host={server.host}&port={server.port}"


def test_documented_python_is_a_scenario_that_runs(dbbench: Cli, server: Address, tmp_path: Path) -> None:
    sources = [source for _, source in blocks("python")]
    assert len(sources) >= 2
    for number, source in enumerate(sources):
        path = tmp_path / f"documented_{number}.py"
        path.write_text(source)
        done = dbbench(
            "run", path.name, "--layer", "orm,core,raw", "--budget", "0.5", "--sessions", "1", "--format", "json",
            "--url", local(server), "--allow-production",
        )  # fmt: skip
        cells = json.loads(done.stdout)["cells"]

        assert done.returncode == 0, done.stderr
        assert len(cells) in {3, 6, 9}
        assert all(cell["operations"] > 0 and cell["verdict"] != "not comparable" for cell in cells)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, server: Address) -> Path:
    """A folder in which the documents' commands can run, quickly."""
    folder = tmp_path_factory.mktemp("workplace")
    # A budget that one block exceeds, and not `blocks = 1`: it gives that block as few rounds as can be.
    (folder / "pyproject.toml").write_text(
        "[tool.dbbench]\nbudget = 0.5\nsessions = 1\ndriver = 'psycopg2'\n"
        'set = {"bulk_inserts.batch" = 20, "point_reads.rows" = 100, "concurrent_sessions.rows" = 100}\n'
    )
    # A server that runs already, for the commands that name none: the embedded one is started often enough elsewhere.
    elsewhere = folder / "own server"
    elsewhere.mkdir()
    (elsewhere / "pyproject.toml").write_text((folder / "pyproject.toml").read_text())
    with (folder / "pyproject.toml").open("a") as config:
        config.write(f'url = "{local(server)}"\n')
        config.write(
            f'\n[tool.dbbench.gate]\nbudget = 0.5\nurl = "{local(server)}"\nset = {{"bulk_inserts.batch" = 20}}\n'
        )
    orders = next(source for _, source in blocks("python") if "orders" in source)
    (folder / "orders.py").write_text(orders)
    (folder / "my_scenario.py").write_text("async def orm(session, params, rng): return 1\n")
    run = [sys.executable, "-P", "-m", "dbbench", "run", "point_reads", "--quiet"]
    for name in ("base.jsonl", "head.jsonl", "nightly/one.jsonl", "results/one.jsonl"):
        subprocess.run([*run, "-o", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for name in (".venv-main", ".venv"):
        (folder / name).symlink_to(sys.prefix)
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.invalid"]
    remote = "update-ref refs/remotes/origin/main HEAD"
    for command in ("init -q -b main", "add my_scenario.py", "commit -qm one", remote):
        subprocess.run([*git, *command.split()], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("command", [each for each in documented_commands() if "selfcheck" not in each])
def test_documented_commands_work(command: str, dbbench: Cli, workplace: Path, foreign: Address) -> None:
    results = sorted((workplace / "results").glob("*.jsonl"))
    words = shlex.split(re.split(" >>? ", command)[0])[1:]
    for number, word in enumerate(words):
        if word.startswith("results/"):
            words[number] = str(results[-1])
        elif word.startswith("postgresql://"):
            words[number] = url_of(foreign)
    if "--pooler" in words:
        pgbouncer()
        words += ["--driver", "psycopg", "--sessions", "2"]
    if words[0] == "wire":
        words += ["--operations", "5", "--set", "bulk_inserts.batch=20"]
    if words[0] == "capacity":  # a search takes minutes; the last value of an option counts
        # One rate, so that two trials that agree are a search; brackets are what test_capacity.py is about.
        words += ["--trial", "1", "--precision", "50%", "--min-rate", "500", "--max-rate", "500"]
    if "--budget" in words:
        words += ["--budget", "0.5"]
    if words[0] == "compare" and "." not in words[1]:
        words[1:3] = ["base.jsonl", "head.jsonl"]  # runs that are named by their ids
    folder = workplace / "own server" if "--env-url" in words else workplace
    done = dbbench(*words, cwd=folder, DATABASE_URL=url_of(foreign), XDG_CACHE_HOME=str(workplace / "cache"))

    # So few blocks are too few for a verdict, of a gate as of a comparison that should fail; counts need none.
    undecided = (words[0] == "gate" and "--wire" not in words) or "--fail-over" in words
    assert done.returncode == (6 if undecided else 0), done.stderr
    assert done.stdout or "-o" in words


@pytest.mark.parametrize("command", [each for each in documented_commands() if "selfcheck" in each])
def test_documented_self_checks_are_understood(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What they measure is the business of test_selfcheck.py: it takes minutes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seconds: list[float] = []

    def run(_watch: object, stage_s: float, **_: object) -> SelfCheck:
        seconds.append(stage_s)
        return SelfCheck([], [], [], None, [])

    monkeypatch.setattr(steps, "run", run)
    done = CliRunner().invoke(app, shlex.split(command)[1:])

    assert done.exit_code == 0, done.stderr
    assert seconds == [float((re.findall(r"--seconds (\d+)", command) or ["30"])[0])]


def test_nothing_names_a_package_index_or_this_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    for name in filter(None, tracked):
        text = (REPOSITORY / name).read_text(errors="replace")
        assert not re.search(r"(index-url|find-links)[ =]+(http|file)", text), name
        assert f"{sys.prefix}/" not in text, name
