"""What runs have left behind, a line for each thing."""

from dbbench.records import clean
from dbbench.server.leftovers import Leftovers
from dbbench.wording import count


def lines(found: Leftovers) -> list[str]:
    """What `dbbench clean` would remove, and what it would not."""
    said = [f"folder  {clean(str(folder))}" for folder in found.folders]
    said += [f"schema  {clean(one.name)}, of run {clean(one.run)}" for one in found.schemas]
    if found.in_use:
        said.append(f"not touched: {count(len(found.in_use), 'schema')} of runs that are going on")
    return said
