"""How to weight a gate's blocks, tried on recorded blocks of identical sides (tests/data/identical_sides.json).

Prints the error of blocks, from the quietest fifth to the noisiest (as shown by their own slices), and the error of the
weighted mean of 12 of them, for several weights.
"""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

from dbbench.stats.centre import BETWEEN_PROCESSES, Block

DATA = Path(__file__).parent.parent / "tests" / "data" / "identical_sides.json"
WEIGHTS: dict[str, Callable[[Block], float]] = {
    "equal": lambda _: 1.0,
    "1 / standard deviation": lambda block: block.weight,
    "1 / variance": lambda block: block.weight**2,
}
BLOCKS = 12
DRAWS = 5_000


def main() -> None:
    """Print both tables."""
    rows = [[Block(*each) for each in row] for row in zip(*json.loads(DATA.read_text())["blocks"], strict=True)]
    blocks = sorted((block for row in rows for block in row), key=lambda block: block.error)
    for fifth in range(5):
        part = blocks[fifth * len(blocks) // 5 : (fifth + 1) * len(blocks) // 5]
        print(f"fifth {fifth + 1}: off by {_root_mean_square([block.log_ratio for block in part]):.1%}")
    print(f"at least {BETWEEN_PROCESSES:.0%} are assumed")
    for name, weight in WEIGHTS.items():
        rng = random.Random(1)
        off = _root_mean_square([_drawn(rows, weight, rng) for _ in range(DRAWS)])
        print(f"{name}: {BLOCKS} blocks are off by {off:.2%}")


def _drawn(rows: list[list[Block]], weight: Callable[[Block], float], rng: random.Random) -> float:
    """The weighted mean of randomly drawn blocks of a row, with sides swapped at random."""
    some = rng.choices(rng.choice(rows), k=BLOCKS)
    total = sum(rng.choice((1, -1)) * weight(block) * block.log_ratio for block in some)
    return total / sum(map(weight, some))


def _root_mean_square(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


if __name__ == "__main__":
    main()
