"""Independent reference implementations: written apart from dbbench.stats, plainly, and compared with it."""

import math
import random
from collections.abc import Sequence
from itertools import product


def maxt_signflip(  # noqa: C901 - the reference as it was written, not split up
    table: Sequence[Sequence[float]], exact_up_to: int = 16, draws: int = 20_000, seed: int = 0
) -> list[float]:
    """Joint sign-flip of whole blocks, step-down max-T, one-sided: the p-value of each row's sum being that large.

    By Gray code: one block flips per step, and sums are carried on.
    """
    m, blocks = len(table), len(table[0])
    roots = [math.sqrt(sum(x * x for x in row)) or math.inf for row in table]
    rows = [[x / root for x in row] for row, root in zip(table, roots, strict=True)]
    observed = [sum(row) for row in rows]
    order = sorted(range(m), key=lambda row: -observed[row])  # the most suspicious first
    thresholds = [observed[row] - 1e-12 for row in order]
    columns = [[rows[row][block] for row in order] for block in range(blocks)]
    hits = [0] * m

    def score(sums: list[float]) -> None:
        largest = -math.inf
        for i in range(m - 1, -1, -1):  # successive maxima over the tail that is not rejected yet
            largest = max(largest, sums[i])
            if largest >= thresholds[i]:
                hits[i] += 1

    if blocks <= exact_up_to:
        signs, sums = [1] * blocks, [observed[row] for row in order]
        score(sums)
        for step in range(1, 1 << blocks):
            block = (step & -step).bit_length() - 1
            change = -2 * signs[block]
            signs[block] = -signs[block]
            for i, value in enumerate(columns[block]):
                sums[i] += change * value
            score(sums)
        p = [hit / 2**blocks for hit in hits]
    else:
        rng = random.Random(seed)
        for _ in range(draws):
            bits = rng.getrandbits(blocks)
            sums = [0.0] * m
            for block in range(blocks):
                sign = 1 if bits >> block & 1 else -1
                for i, value in enumerate(columns[block]):
                    sums[i] += sign * value
            score(sums)
        p = [(hit + 1) / (draws + 1) for hit in hits]
    for i in range(1, m):
        p[i] = max(p[i], p[i - 1])
    adjusted = [0.0] * m
    for i, row in enumerate(order):
        adjusted[row] = p[i]
    return adjusted


def two_sided_by_definition(table: Sequence[Sequence[float]]) -> list[float]:
    """Westfall and Young's step-down p-values, two-sided, with every pattern of signs written out. For small tables."""

    def statistic(row: Sequence[float], signs: Sequence[int]) -> float:
        root = math.sqrt(sum(x * x for x in row))
        return abs(sum(sign * x for sign, x in zip(signs, row, strict=True))) / root if root else 0.0

    blocks = len(table[0])
    patterns = list(product((1, -1), repeat=blocks))
    observed = [statistic(row, (1,) * blocks) for row in table]
    order = sorted(range(len(table)), key=lambda row: -observed[row])
    adjusted = [0.0] * len(table)
    before = 0.0
    for place, row in enumerate(order):
        tail = [table[other] for other in order[place:]]
        hits = sum(max(statistic(other, signs) for other in tail) >= observed[row] - 1e-12 for signs in patterns)
        before = adjusted[row] = max(before, hits / len(patterns))
    return adjusted
