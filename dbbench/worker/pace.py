"""The time that operations took, where several connections share a slice (pure): see load.py."""

from collections.abc import Sequence


def elapsed_ns(ends: Sequence[int], begin: int, end: int, connections: int) -> int:
    """Nanoseconds for all operations at the pace of the slice's middle; of the whole slice where it has no middle.

    `ends` are the times at which operations completed, from `begin` to `end`, in any order; `connections` ran them.
    """
    inside = len(ends) - 2 * connections
    if connections == 1 or inside < connections:
        return end - begin
    ordered = sorted(ends)
    return round((ordered[-1 - connections] - ordered[connections - 1]) * len(ends) / inside)
