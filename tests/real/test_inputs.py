"""Jobs that real people have: every scenario in tests/inputs comes out as the file beside it says, for all drivers.

NAME.toml has, for each layer, whether each driver is "measured", has "failed" or is "not comparable"; `says` are texts
that must be among what is said of the scenario. Those with the same `options` are measured by one command, once.
"""

import json
import tomllib
from typing import Any, Final

import pytest
from conftest import REPOSITORY, Cli

from dbbench.choices import Layer
from dbbench.drivers import PRESETS

ALL = PRESETS["all"]

FOLDER: Final = REPOSITORY / "tests" / "inputs"
EXPECTED: Final[dict[str, dict[str, Any]]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))
}
LAYERS: Final[tuple[Layer, ...]] = ("raw", "core", "orm")
SHORT: Final = ("--sessions", "1", "--blocks", "1", "--rounds", "1")

pytestmark = pytest.mark.xdist_group("inputs")  # one process measures them all


def options(name: str) -> tuple[str, ...]:
    return tuple(EXPECTED[name].get("options", ()))


@pytest.fixture(scope="module")
def outcomes() -> Any:
    """What came of the inputs with the same options, measured when it is first asked for."""
    known: dict[tuple[str, ...], tuple[dict[str, Any], str]] = {}

    def measured(measure: Cli, chosen: tuple[str, ...]) -> tuple[dict[str, Any], str]:
        if chosen not in known:
            known[chosen] = measure_all(measure, chosen)
        return known[chosen]

    return measured


def measure_all(measure: Cli, chosen: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    files = [str(FOLDER / f"{name}.py") for name in EXPECTED if options(name) == chosen]
    drivers = [word for name in ALL for word in ("--driver", name)]
    layers = ("--layer", ",".join(LAYERS))
    done = measure("run", *files, *drivers, *layers, *SHORT, *chosen, "--format", "json")
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("name", EXPECTED)
def test_an_input_comes_out_as_it_should(name: str, outcomes: Any, measure: Cli) -> None:
    document, stderr = outcomes(measure, options(name))
    expected = EXPECTED[name]
    rows = [row for row in document["cells"] if row["scenario"] == name]
    found: dict[str, dict[str, str]] = {row["layer"]: {} for row in rows}
    for row in rows:
        unmeasured = row["verdict"] in ("failed", "not comparable", "not measured")
        found[row["layer"]][row["driver"]] = row["verdict"] if unmeasured else "measured"
    said = "\n".join(
        [problem["message"] for problem in document["run"]["problems"] if problem["scenario"] == name]
        + [line for line in stderr.splitlines() if name in line]
    )

    assert found == {layer: expected[layer] for layer in LAYERS if layer in expected}, said
    for text in expected.get("says", ()):
        assert text in said


def test_every_input_has_its_outcome() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)
