"""Extract the recorded noise for tests/pure/commands/test_judging.py from whole gates of identical sides.

    for i in $(seq 10); do
        dbbench gate --base-python one/bin/python --head-python other/bin/python -o gate$i.jsonl
    done
    python benchmarks/identical_sides.py gate*.jsonl > tests/data/identical_sides.json
    PYTHONPATH=tests python tests/pure/commands/test_judging.py

The two environments have the same packages, installed separately.
"""

import json
import sys
from pathlib import Path

from dbbench import result_file
from dbbench.commands.gate.tables import tables
from dbbench.plan import Cell


def _name(cell: Cell) -> str:
    return f"{cell.scenario} {cell.layer} {cell.driver}"


def main() -> None:
    """Print the blocks in which every row of the first gate has a value; other gates may have more rows."""
    runs = [result_file.read(Path(name)) for name in sys.argv[1:]]
    first = runs[0].header
    rows = [_name(cell) for cell in first.plan.cells]
    blocks = []
    for run in runs:
        counted = tables(run.header.plan, run.measurements).counted
        values = {_name(run.header.plan.cells[cell]): row for (cell, _), row in counted.items()}
        blocks += [block for block in zip(*(values[name] for name in rows), strict=True) if None not in block]
    machine = first.environment["machine"]
    document = {
        "machine": f"{machine.get('cpu_model_name', '?')}, {machine.get('cpu_count', '?')} CPUs",
        "placement": first.plan.placement.mode,
        "rounds": [run.header.plan.rounds[0] for run in runs],
        "rows": rows,
        "blocks": [[[round(part, 5) for part in value] for value in block if value] for block in blocks],
    }
    print(json.dumps(document).replace("]], ", "]],\n"))


if __name__ == "__main__":
    main()
