"""The user's own pooler, in front of the server that is measured: what it is, and what a run leaves behind in it.

A pooler of somebody else's takes no search path: it refuses the parameter, ignores it, or forgets it. What a client
sets by a statement stays on a server connection that other clients get next. So nothing is set there at all, and
statements name the schema of dbbench's tables.
"""

import contextlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.plan import Pooler, PoolerMode
from dbbench.server.pooler_detection import Pooled, behind_pooler, detect
from dbbench.server.schemas import connect

APPLICATION: Final = "dbbench"
"""The application_name of sessions through it. Its server connections keep a client's name for a while, and sessions
that have the name of a run are ended with that run."""
UNNOTICED: Final = "no pooler was noticed"
WAIT_S: Final = 0.3  # for one more server connection, while others of it are held
_OURS: Final = r"^(__asyncpg_|_pg3_)"  # what drivers call the statements that they prepare by themselves
_LEFT: Final = "SELECT name FROM pg_prepared_statements WHERE name ~ %s AND prepare_time >= %s AND NOT from_sql"

_NAMESAKES: Final = """
    SELECT relname FROM pg_class
     WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND to_regclass(quote_ident(relname)) IS NOT NULL"""


@dataclass(frozen=True)
class OwnPooler:
    """A pooler of the user's that leads to the measured server."""

    address: Address
    pooler: Pooler
    told: str  # what it is, in words
    _keeps: bool  # whether prepared statements stay on its server connections, under the names that drivers gave
    _since: str  # by the server's clock: what was prepared before is not ours

    def refuse_others(self, schema: str) -> None:
        """Raise CannotStartError where a name of a table in the schema means another table through the pooler."""
        import psycopg

        try:
            with _connected(self.address) as through:
                found = through.execute(_NAMESAKES, [schema]).fetchall()
        except psycopg.Error as error:
            raise CannotStartError(f"--via {self.address}: {' '.join(str(error).split())}") from None
        if found:
            raise CannotStartError(
                f"--via {self.address}: {', '.join(name for (name,) in found)} there are tables of your own, which "
                "statements in plain SQL would meet instead of dbbench's",
                "measure in another database, as another user, or with other names for the scenario's tables",
            )

    def tidy(self, most: int) -> None:
        """Remove the prepared statements that this run has left on up to so many of its server connections.

        They would fail the next arm, and other clients of the user's. Each connection is held in a transaction until
        all are found.
        """
        if not self._keeps:
            return
        import psycopg

        # It is an error where the pooler has no more server connections to give.
        with contextlib.suppress(psycopg.Error), contextlib.ExitStack() as held:
            for _ in range(most):
                one = held.enter_context(_connected(self.address))
                one.answer_limit_s = WAIT_S
                held.enter_context(one.transaction())
                for (name,) in one.execute(_LEFT, [_OURS, self._since]).fetchall():
                    one.execute(f'DEALLOCATE "{name}"')


def checked(via: Address, server: Address, application: str) -> OwnPooler:
    """What stands at `via`; `server`: the same server, directly.

    Raises CannotStartError where it cannot be reached, leads elsewhere, or logs in another user: the tables that a run
    makes directly would not be there, or not be its own.
    """
    import psycopg

    try:
        with contextlib.closing(connect(server, application)) as direct, _connected(via) as through:
            if behind_pooler(direct):
                raise CannotStartError(f"--url {server} is a pooler, too", "give --url the server itself")
            _refuse_another(direct, through, via, server)
            (since,) = direct.execute("SELECT clock_timestamp()::text").fetchone()
    except psycopg.Error as error:
        raise CannotStartError(f"--via {via}: {' '.join(str(error).split())}") from None
    pooled = detect(via)
    if pooled is None:
        return OwnPooler(via, Pooler("session", via=True), UNNOTICED, False, since)
    mode: PoolerMode = "session" if pooled.mode == "session" else "transaction"
    return OwnPooler(via, Pooler(mode, via=True), _told(pooled), pooled.prepared is False, since)


def _refuse_another(direct: Any, through: Any, via: Address, server: Address) -> None:
    """A lock that is held in one database of one server is seen there and nowhere else."""
    key = random.SystemRandom().randrange(1 << 62)
    direct.execute("SELECT pg_advisory_lock(%s)", [key])
    (is_free,) = through.execute("SELECT pg_try_advisory_xact_lock(%s)", [key]).fetchone()
    if is_free:
        raise CannotStartError(
            f"--via {via} leads to another server or database than --url {server}",
            "give the pooler in front of that very database",
        )
    users = [one.execute("SELECT current_user").fetchone()[0] for one in (direct, through)]
    if users[0] != users[1]:
        raise CannotStartError(
            f"--via {via} works as {users[1]}, --url {server} as {users[0]}, to whom dbbench's tables will belong",
            "give both the same user",
        )


def _told(pooled: Pooled) -> str:
    follows = {True: "prepared statements survive", False: "prepared statements are lost", None: ""}[pooled.prepared]
    words = [f"{pooled.mode} pooling", follows if pooled.mode != "session" else ""]
    return re.sub(r"^unknown pooling", "a pooler", ", ".join(filter(None, words)))


@contextlib.contextmanager
def _connected(via: Address) -> Iterator[Any]:
    """A connection through the pooler, which prepares nothing and sets nothing."""
    from dbbench.drivers.libpq import connect_arguments
    from dbbench.server.impatient import Connection

    arguments = connect_arguments(via, {"application_name": APPLICATION})
    with contextlib.closing(Connection.connect(**arguments, autocommit=True, prepare_threshold=None)) as connection:
        yield connection
