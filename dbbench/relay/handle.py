"""The parent's end of the relay. Clients connect to the relay instead of the server, to be recorded or delayed."""

import shutil
import subprocess
from contextlib import suppress
from typing import Final

import msgspec

from dbbench.address import Address
from dbbench.child import Child, WorkerFailedError
from dbbench.errors import CannotStartError, UsageError
from dbbench.relay import orders
from dbbench.relay.frame import Recorded

_PATIENCE_S: Final = 20.0
_END_LIMIT_S: Final = 2.0
_TLS_MODES: Final = ("require", "verify-ca", "verify-full")


def can_relay(upstream: Address) -> bool:
    """Whether the relay can read the messages: not when the URL requires TLS."""
    return upstream.sslmode not in _TLS_MODES


def refuse_tls(upstream: Address) -> None:
    """Raise UsageError when the URL requires TLS."""
    if not can_relay(upstream):
        raise UsageError(
            "the messages cannot be counted or delayed through TLS: use a URL with sslmode=disable or prefer, "
            "or measure on a server that takes unencrypted connections"
        )


class RelayProcess(Child[orders.Order]):
    """A process between drivers and one server. Use it as a context manager, which ends it with the block."""

    def __init__(self, upstream: Address, cpus: list[int] | None = None) -> None:
        """Start it, on these CPUs.

        Raises UsageError when the URL requires TLS, CannotStartError when the relay does not start.
        """
        refuse_tls(upstream)
        super().__init__("the relay", "dbbench.relay.process", orders.decode_reply)
        self._upstream = upstream
        self._directory = ""
        try:
            begin = orders.Begin(msgspec.structs.replace(upstream, password=""), cpus)
            self._directory = self.ask(begin, orders.Begun, _PATIENCE_S).directory
        except WorkerFailedError as error:
            self.end()
            raise CannotStartError(str(error)) from None
        except BaseException:
            self.end()
            raise

    def listen(self, *, rtt_s: float = 0.0, record: bool = False) -> Address:
        """Open another listener and return its address; clients connect there instead of to the server.

        Each round trip takes `rtt_s` seconds longer through it. With `record`, the messages are recorded.
        """
        listening = self.ask(orders.Listen(rtt_s, record), orders.Listening, _PATIENCE_S)
        return msgspec.structs.replace(
            self._upstream, host=listening.host, port=listening.port, sslmode="disable", tls={}
        )

    def cut(self) -> Recorded:
        """The messages that passed through recording listeners since the last cut."""
        return self.ask(orders.Cut(), orders.Cutting, _PATIENCE_S).recorded

    def end(self) -> None:
        """End it and all its connections."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        super().end()
        if self._directory:  # it is still there if the process was killed
            shutil.rmtree(self._directory, ignore_errors=True)
