"""The GitHub action: what its script makes of its inputs, run by bash with a program that notes its arguments."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from typer.main import get_command

from dbbench.cli.app import app

ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
PROGRAM = """#!{python}
import pathlib, sys
if sys.argv[1] == "-c":
    code, sys.argv = sys.argv[2], ["-c", *sys.argv[3:]]
    exec(code)
else:
    pathlib.Path("said").write_text("\\0".join(sys.argv[1:]))
    pathlib.Path("reports").mkdir()
    pathlib.Path("reports/gate.json").write_text('{{"verdict": "fail"}}')
    sys.exit(1)
"""


def gate_step() -> dict[str, Any]:
    return next(step for step in STEPS if step.get("id") == "gate")


def run(folder: Path, **inputs: str) -> tuple[list[str], int, str]:
    """Run the step with these inputs and the defaults of the others: arguments, exit code, outputs."""
    given = {name: str(spec.get("default", "")) for name, spec in ACTION["inputs"].items()} | {
        name.replace("_", "-"): value for name, value in inputs.items()
    }
    program = folder / "python"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    given |= {"python": str(program), "reports": "reports"}
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], value)
        for name, value in gate_step()["env"].items()
    }
    outputs = folder / "outputs"
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", gate_step()["run"]],
        cwd=folder, check=False, stderr=subprocess.PIPE, text=True,
        env={
            "PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(outputs), "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
            **environment,
        },
    )  # fmt: skip
    assert (folder / "said").exists(), done.stderr
    return (folder / "said").read_text().split("\0"), done.returncode, outputs.read_text()


def test_inputs_become_arguments_word_for_word(tmp_path: Path) -> None:
    words, code, outputs = run(
        tmp_path, scenarios="bench\nmore bench/one.py\n", project="my project", base="origin/main",
        tolerances="5%\ncpu=8%", drivers="asyncpg,psycopg2", arguments="--quiet",
    )  # fmt: skip

    assert words == [
        "-P", "-m", "dbbench", "gate", "--project", "my project", "--base", "origin/main", "--driver",
        "asyncpg,psycopg2", "--tolerance", "5%", "--tolerance", "cpu=8%", "--budget", "5m", "--inconclusive", "pass",
        "--quiet", "--report", "json=reports/gate.json", "--report", "junit=reports/gate.xml", "--output",
        "reports/7-1.jsonl", "--", "bench", "more bench/one.py",
    ]  # fmt: skip
    assert code == 1
    assert outputs == "verdict=fail\n"


@pytest.mark.parametrize(
    "hostile", ["$(touch pwned)", "`touch pwned`", "; touch pwned", '" && touch pwned "', "--output"]
)
def test_what_a_branch_is_called_is_no_command(tmp_path: Path, hostile: str) -> None:
    words, _, _ = run(tmp_path, project=".", base=hostile)

    assert words[words.index("--base") + 1] == hostile
    assert not (tmp_path / "pwned").exists()


def test_an_inconclusive_gate_may_keep_its_exit_code(tmp_path: Path) -> None:
    words, _, _ = run(tmp_path, base="a==1", head="a==2", inconclusive="6")

    assert "--inconclusive" not in words


def test_every_input_is_used_and_every_option_exists() -> None:
    text = (REPOSITORY / "action.yml").read_text()
    options = {option for parameter in get_command(app).commands["gate"].params for option in parameter.opts}  # type: ignore[attr-defined]

    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", gate_step()["run"])) <= options
    assert all(spec.get("description") for spec in ACTION["inputs"].values())


@pytest.mark.parametrize("path", [REPOSITORY / "action.yml", *WORKFLOWS], ids=lambda path: path.name)
def test_nothing_that_others_choose_is_written_into_a_script(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    steps = [step for job in document.get("jobs", {"": document.get("runs")}).values() for step in job["steps"]]

    assert steps
    for step in steps:
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_end_by_themselves(path: Path) -> None:
    document = yaml.safe_load(path.read_text())

    assert document["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in document["jobs"].values())


def test_documented_workflows_are_valid() -> None:
    text = (REPOSITORY / "docs" / "ci.md").read_text()
    documents = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    inputs = documents[0]["jobs"]["gate"]["steps"][3]["with"]

    assert len(documents) == 2
    assert set(inputs) <= set(ACTION["inputs"])


def test_the_documented_workflow_is_as_careful_as_our_own() -> None:
    text = (REPOSITORY / "docs" / "ci.md").read_text()
    (workflow,) = re.findall(r"^## GitHub\n\n```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    found = subprocess.run(
        [Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", "--strict-collection", "-"],
        input=workflow, check=False, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout
