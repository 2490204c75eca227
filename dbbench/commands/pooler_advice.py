"""What a pooler in front of a server means for a run, and for the user's own code: rows of `dbbench doctor`."""

from collections.abc import Iterator

from dbbench.commands.check import Check
from dbbench.drivers import DEFAULT, DRIVERS
from dbbench.server.pgbouncer import FOLLOWERS
from dbbench.server.pooler_detection import Pooled, cure


def of_pooler(pooled: Pooled) -> Iterator[Check]:
    """A pooler, which a run does not measure through; and what the user's own code needs there."""
    pooling = "a connection pooler" if pooled.mode == "unknown" else f"{pooled.mode} pooling"
    mode = "session" if pooled.mode == "session" else "transaction"
    way_out = (
        f"dbbench run needs the server itself: --url SERVER --via THIS_ONE measures through it; "
        f"--pooler {mode} starts one of its own"
    )
    yield Check("pooler", "problem", f"{pooling}: {pooled.evidence}", way_out)
    for driver in DEFAULT:
        name, mends = f"pooler: {driver}", cure(DRIVERS[driver])
        if not mends:
            yield Check(name, "ok", "prepares no statements: nothing to do")
        elif pooled.prepared:
            yield Check(name, "ok", "prepared statements survive a transaction there: the defaults work")
        elif pooled.prepared is None:
            detail = f"prepared statements may be lost there ({FOLLOWERS} follow them, if told to)"
            yield Check(name, "note", detail, mends)
        else:
            yield Check(name, "note", "prepared statements are lost there: the defaults fail", mends)
        if mends and not pooled.prepared:
            for setting, value in DRIVERS[driver].mistaken.items():
                safe = DRIVERS[driver].safe[setting]
                yield Check(
                    f"{name} {setting}",
                    "note",
                    f"{setting}={value} does not switch them off: it means at once; {safe} is off",
                )
