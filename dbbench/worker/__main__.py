"""The child process: carries out the parent's requests and does nothing in between.

`python -m dbbench.worker` reads requests from its stdin and writes replies to its stdout (messages.py). While it waits
for the next request its event loop does not run and its threads wait at a barrier. It ends when the parent does: a
thread that reads the pipe sees the end of it, even while an operation runs.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dbbench import messages
from dbbench.worker.worker import Worker


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # The parent decides when to stop, so it handles Ctrl-C.
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    requests: queue.SimpleQueue[messages.Request] = queue.SimpleQueue()
    with os.fdopen(os.dup(0), "rb") as incoming, os.fdopen(os.dup(1), "wb") as outgoing:
        # What a scenario prints must not mix with the messages.
        os.dup2(2, 1)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        start = messages.receive_request(incoming)
        assert isinstance(start, messages.Start)
        threading.Thread(target=_read, args=(incoming, requests.put), daemon=True).start()
        worker, own = Worker(start), os.getpid()
        answer = worker.attempt(worker.started)
        while True:
            if os.getpid() != own:  # a process that a scenario has forked, and that comes back from there
                os._exit(0)
            _send(outgoing, answer)
            request = requests.get()
            answer = worker.attempt(lambda: worker.handle(request))  # noqa: B023 - called at once


def _send(outgoing: BinaryIO, answer: messages.Reply) -> None:
    try:
        messages.send(outgoing, answer)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # of the encoder, so nothing was written
        message = f"what the scenario has given cannot be passed on: {type(error).__name__}: {error}"
        messages.send(outgoing, messages.Failed(message, scenario=True))


def _read(incoming: BinaryIO, put: Callable[[messages.Request], None]) -> None:
    try:
        while (request := messages.receive_request(incoming)) is not None:
            put(request)
    finally:
        # The parent died, or a scenario has closed the pipe from it. Whatever a scenario has started ends, too.
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
