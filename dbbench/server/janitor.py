"""A process that drops the schemas of a run when the run is over, however it ends.

It is started before the first schema is made, is in a session of its own and ignores the signals of the terminal, so
neither a second Ctrl-C nor the end of all other processes keeps it from its work. Its order, one line of JSON, comes
through standard input, because it has a password; the end of the input means that the run is over. What could not be
dropped goes to standard output, as JSON, or, where nobody listens any more, to standard error.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from dbbench.address import Address
from dbbench.child import worker_environment
from dbbench.server.schemas import DROP_LIMIT_S, Kept, application, drop_all
from dbbench.texts import said as one_line

_IGNORED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_MARGIN_S: Final = 15.0  # for what the limit of the dropping does not cover: a connect, a statement, Python's start
FINISH_LIMIT_S: Final = DROP_LIMIT_S + _MARGIN_S
HASTE_S: Final = 3.0  # how long to wait for it after Ctrl-C


class Order(msgspec.Struct, frozen=True):
    """What to drop when the run is over."""

    address: Address
    run: str  # id


class Janitor:
    """The parent's end of the process."""

    def __init__(self, address: Address, run_id: str) -> None:
        self._run = run_id
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)  # the process inherits that, from its start
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=worker_environment({}),
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(Order(address, run_id)) + b"\n")
        self._process.stdin.flush()

    def finish(self, limit_s: float) -> list[Kept]:
        """Have it drop the schemas, and wait for that; returns what had to stay.

        After FINISH_LIMIT_S it is killed; where `limit_s` is less, it goes on without being waited for.
        """
        try:
            said, _ = self._process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            if limit_s < FINISH_LIMIT_S:
                what = f"process {self._process.pid} still tries to drop it, for up to {DROP_LIMIT_S:g} s"
                return [Kept(f"{application(self._run)}_*", what)]
            self._process.kill()
            self._process.wait()
            return [Kept(f"{application(self._run)}_*", f"not dropped within {limit_s:g} s")]
        if self._process.returncode:
            status = self._process.returncode
            return [Kept(f"{application(self._run)}_*", f"what drops them ended with status {status}")]
        return [Kept(*each) for each in json.loads(said)]


def sentence(address: Address, kept: Sequence[Kept]) -> str:
    """What stays on a server, why, and the command that drops it."""
    what = "; ".join(f"{one.schema}: {one.reason}" for one in kept)
    return f"left behind on {address}: {what}; when that has changed, `dbbench clean --url URL` drops it"


def main() -> None:
    """Wait for the end of the run, and drop its schemas."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # the parent died before it could say anything, so it has made nothing
    order = msgspec.json.decode(line, type=Order)
    sys.stdin.buffer.read()
    kept = drop_all(order.address, order.run)
    try:
        sys.stdout.write(json.dumps(kept))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if kept:
            with suppress(OSError):
                print(f"dbbench: {one_line(sentence(order.address, kept))}", file=sys.stderr)


if __name__ == "__main__":
    main()
